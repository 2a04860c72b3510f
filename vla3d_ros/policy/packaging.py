"""From the settings of one of this program's networks to a manifest and a model card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vla3d_ros.policy import manifest as m
from vla3d_ros.policy.nets.config import PolicyConfig

# What an engine may differ by from ONNX Runtime on a CPU: share of the actions' spread, and instances found again.
# Half precisions round every product, to 10 and 7 bits.
_TOLERATED: Mapping[str, tuple[float, float]] = {"fp32": (2e-3, 0.85), "fp16": (3e-2, 0.75), "bf16": (1.5e-1, 0.6)}
DT_NS = 33_333_333
FLOW_STEPS = 5
_UNTRAINED = "untrained: for timing and tests"
_WARNING = (
    f"**{_UNTRAINED.capitalize()}.** The weights are random: chunks are noise of a few millimetres around where the "
    "arm is. Use it to check an installation, to measure time, and in tests; it can not do any task."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageAbout:
    """What people want to know of a package.

    Attributes:
        name: Of the package and its folder.
        is_trained: Whether it learned anything.
        provenance: Where the weights come from.
        title: One line; made from the route by default.
        licence: Of the weights.
    """

    name: str
    is_trained: bool
    provenance: Mapping[str, str]
    title: str = ""
    licence: str = "Apache-2.0"


def manifest_for(
    config: PolicyConfig,
    about: PackageAbout,
    embodiments: Sequence[m.EmbodimentSpec],
    actions: m.ActionSpec,
    rtc: m.RtcSpec | None = None,
) -> m.Manifest:
    """Return the manifest of one of this program's networks, without its list of files.

    Args:
        config: The network.
        about: What people want to know.
        embodiments: Robots it was trained on, as the config names them.
        actions: The chunk and its normalisation.
        rtc: Real-time chunking; guidance by default, which every flow policy can.
    """
    height_px, width_px = config.image_size
    depth = "optional" if config.uses_depth else "unused"
    views = tuple(
        m.ViewSpec(
            name=view,
            width_px=width_px,
            height_px=height_px,
            depth=depth,
            uses_intrinsics=config.uses_geometry,
            uses_extrinsics=config.uses_geometry,
        )
        for view in config.views
    )
    return m.Manifest(
        name=about.name,
        title=about.title or _title(config, about.is_trained),
        is_trained=about.is_trained,
        route=config.route,
        config=config.to_mapping(),
        views=views,
        arm_slots=config.arms,
        max_joints=config.max_joints,
        embodiments=tuple(embodiments),
        actions=actions,
        text=m.TextSpec(kind="hashed_words", buckets=config.text.buckets, length=config.text.length),
        uses_prompt=config.uses_prompt,
        flow_steps=FLOW_STEPS,
        seed=m.SeedSpec(),
        rtc=rtc or m.RtcSpec(kind="guidance"),
        tolerances=tolerances_for(actions),
        licence=about.licence,
        provenance=about.provenance,
    )


def _title(config: PolicyConfig, is_trained: bool) -> str:
    height_px, width_px = config.image_size
    what = f"{config.route} route, {len(config.views)} views of {width_px} x {height_px} px"
    return what if is_trained else f"{what} ({_UNTRAINED})"


def tolerances_for(actions: m.ActionSpec) -> dict[str, m.Tolerance]:
    """Return what may differ by precision, in proportion to how far the policy's actions spread."""
    position_mm = 1e3 * float(actions.std[:, :3].max())
    rotation_deg = float(np.degrees(actions.std[:, 3:9].max()))
    gripper = float(actions.std[:, 9].max())
    return {
        precision: m.Tolerance(
            position_mm=float(f"{share * position_mm:.2g}"),
            rotation_deg=float(f"{share * rotation_deg:.2g}"),
            gripper=float(f"{share * gripper:.2g}"),
            instances=instances,
        )
        for precision, (share, instances) in _TOLERATED.items()
    }


def placeholder_actions(config: PolicyConfig) -> m.ActionSpec:
    """Return the chunk of an untrained network: its noise becomes motion of millimetres, so that it can be run."""
    slots = len(config.arms)
    mean = np.tile([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.5], (slots, 1))
    std = np.tile([0.002] * 3 + [0.005] * 6 + [0.1], (slots, 1))
    return m.ActionSpec(steps=config.chunk, dt_ns=DT_NS, mean=mean, std=std)


def placeholder_embodiment(
    config: PolicyConfig, name: str, index: int, q_home: Sequence[Sequence[float]]
) -> m.EmbodimentSpec:
    """Return a robot for an untrained network, centred on its home configuration.

    Args:
        config: The network.
        name: Name of the robot.
        index: Its number.
        q_home: Joints of each arm at home, rad; arms fill the slots from the first on.
    """
    slots, width = len(config.arms), config.state_width
    mean, std = np.zeros((slots, width)), np.ones((slots, width))
    mean[:, :3], std[:, :3] = [0.4, 0.0, 0.3], 0.3
    mean[:, 9], std[:, 9] = 0.5, 0.5
    for slot, q in enumerate(q_home):
        mean[slot, m.ACTION_WIDTH : m.ACTION_WIDTH + len(q)] = q
    joints = tuple(len(q_home[slot]) if slot < len(q_home) else 0 for slot in range(slots))
    return m.EmbodimentSpec(name=name, index=index, joints=joints, state_mean=mean, state_std=std)


def model_card(manifest: m.Manifest, parameters: Mapping[str, int]) -> str:
    """Return a package's README: what it is, sees and gives, how large it is, and what it is not good for."""
    view, actions = manifest.views[0], manifest.actions
    size = f"{view.width_px} x {view.height_px} px, {view.fit}, depth {view.depth}"
    rows = {
        "route": f"`{manifest.route}`",
        "views": f"{_quoted(spec.name for spec in manifest.views)}, {size}",
        "arm slots": _quoted(manifest.arm_slots),
        "embodiments": _quoted(spec.name for spec in manifest.embodiments),
        "chunk": f"{actions.steps} steps of {actions.dt_ns / 1e6:.1f} ms, {manifest.flow_steps} flow steps",
        "real-time chunking": manifest.rtc.kind,
        "licence": manifest.licence,
        **manifest.provenance,
    }
    lines = [f"# {manifest.name}", "", f"{manifest.title}.", ""]
    lines += [] if manifest.is_trained else [_WARNING, ""]
    lines += ["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items()), ""]
    lines += ["## Parameters", "", "| part | parameters |", "|---|---|"]
    lines += [f"| {part} | {count:,} |" for part, count in {**parameters, "all": sum(parameters.values())}.items()]
    return "\n".join([*lines, ""])


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
