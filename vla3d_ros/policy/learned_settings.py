"""Settings of a learned policy: which package, on what, seen through which cameras, moving which arms."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vla3d_ros.errors import ConfigError, join_problems
from vla3d_ros.policy.engine import EngineSettings
from vla3d_ros.policy.manifest import Manifest
from vla3d_ros.policy.manifest_reader import MappingReader
from vla3d_ros.policy.rtc import RtcSettings


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LearnedSettings:
    """What a settings file in `config/policies` says.

    Attributes:
        package: Name of a folder in `models`, or the path of one.
        embodiment: Which of the package's robots this is.
        cameras: Camera of each of the package's views.
        arms: Arm in each of the package's slots.
        engine: How the graphs are run.
        flow_steps: Euler steps; None for the package's own number.
        seed: Of the noise; None for the package's own.
        rtc: Real-time chunking.
    """

    package: str
    embodiment: str
    cameras: Mapping[str, str]
    arms: Mapping[str, str]
    engine: EngineSettings
    flow_steps: int | None = None
    seed: int | None = None
    rtc: RtcSettings = field(default_factory=RtcSettings)


def read_learned_settings(content: Any) -> LearnedSettings:
    """Read a settings file's content.

    Raises:
        ConfigError: Lists every problem.
    """
    problems: list[str] = []
    top = MappingReader(content, "", problems)
    top.text("backend", ("package",), "package")
    rtc = _rtc(top.section("rtc"))
    given: dict[str, Any] = {
        "package": top.text("package"),
        "embodiment": top.text("embodiment"),
        "cameras": _names(top, "cameras"),
        "arms": _names(top, "arms"),
        "flow_steps": top.whole("flow_steps", 1) if top.has("flow_steps") else None,
        "seed": top.whole("seed", 0) if top.has("seed") else None,
    }
    engine = _engine(top)
    top.finish()
    built: dict[str, Any] = {}
    for name, build, values in (("engine", EngineSettings, engine), ("rtc", RtcSettings, rtc)):
        try:
            built[name] = build(**values)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError(join_problems("learned policy settings", problems))
    return LearnedSettings(**given, **built)


def fit_problems(
    settings: LearnedSettings, manifest: Manifest, cameras: Collection[str] | None, arms: Mapping[str, int] | None
) -> list[str]:
    """Return how a package does not fit the settings, the rig's cameras and the robot's arms.

    Args:
        settings: What is wanted.
        manifest: The package's.
        cameras: Names of the rig's cameras; None if not known.
        arms: Joints of each of the robot's arms; None if not known.
    """
    views, slots = [view.name for view in manifest.views], list(manifest.arm_slots)
    problems = _strangers("cameras", settings.cameras, views, "views", cameras, "the rig's cameras")
    problems += _strangers("arms", settings.arms, slots, "arm slots", arms, "the robot's arms")
    problems += [
        f"'cameras' lacks view '{view.name}', which the policy can not do without"
        for view in manifest.views
        if view.is_required and view.name not in settings.cameras
    ]
    spec = manifest.embodiment(settings.embodiment)
    if spec is None:
        known = [spec.name for spec in manifest.embodiments]
        return [*problems, f"embodiment '{settings.embodiment}' is unknown to the policy; expected one of {known}"]
    filled = {slot: joints for slot, joints in zip(slots, spec.joints, strict=True) if joints}
    if set(settings.arms) != set(filled):
        problems.append(
            f"'arms' fills slots {sorted(settings.arms)}; embodiment '{spec.name}' has arms in {sorted(filled)}"
        )
    for slot, arm in settings.arms.items():
        if arms is not None and arm in arms and slot in filled and arms[arm] != filled[slot]:
            problems.append(f"arm '{arm}' has {arms[arm]} joints; embodiment '{spec.name}' has {filled[slot]}")
    return problems


def _strangers(
    key: str,
    given: Mapping[str, str],
    own: Sequence[str],
    own_title: str,
    others: Collection[str] | None,
    others_title: str,
) -> list[str]:
    problems = [f"'{key}' names '{name}'; the package's {own_title} are {own}" for name in given if name not in own]
    if others is not None:
        problems += [
            f"'{key}' maps '{name}' to '{other}'; {others_title} are {sorted(others)}"
            for name, other in given.items()
            if other not in others
        ]
    doubles = sorted({other for other in given.values() if list(given.values()).count(other) > 1})
    return problems + [f"'{key}' names '{other}' more than once" for other in doubles]


def _names(reader: MappingReader, key: str) -> dict[str, str]:
    names = reader.mapping(key)
    if not names or not all(isinstance(text, str) and text for pair in names.items() for text in pair):
        reader.complain(f"'{key}' is {names}; expected names to names, at least one")
        return {}
    return names


def _rtc(reader: MappingReader) -> dict[str, Any]:
    values = {
        "is_on": reader.flag("enabled", False),
        "beta": reader.number("beta", 0.0, 5.0),
        "horizon_steps": reader.whole("horizon_steps", 1, 10),
    }
    reader.finish()
    return values


def _engine(reader: MappingReader) -> dict[str, Any]:
    values: dict[str, Any] = {
        "kind": reader.text("engine", (), "onnxruntime"),
        "providers": reader.texts("providers", ("cpu",)),
        "allow_fallback": reader.flag("allow_fallback", False),
        "threads": reader.whole("threads", 1, 1),
        "spinning": reader.flag("spinning", False),
        "precision": reader.text("precision", (), "fp32"),
        "cuda_graph": reader.flag("cuda_graph", True),
        "device": reader.whole("device", 0, 0),
        "keep_float32": reader.texts("keep_float32", ()),
    }
    if reader.has("cache_dir"):
        values["cache_dir"] = Path(reader.text("cache_dir")).expanduser()
    return values
