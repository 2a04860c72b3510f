"""What a rig file may say about a RealSense camera, and sensor options that are applied and read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from vla3d_ros.camera.rig import CameraSpec
from vla3d_ros.errors import ConfigError, join_problems

# A manual value is refused, or silently ignored, while the automatism that owns it is on.
_FIRST = ("enable_auto_exposure", "enable_auto_white_balance", "global_time_enabled")
_CHOICES = {"timestamps": ("global", "hardware", "arrival"), "intrinsics": ("factory", "rig")}


@dataclass(frozen=True, slots=True, kw_only=True)
class RealSenseSettings:
    """`settings:` of a camera with `source: realsense`.

    Attributes:
        serial: Serial number; exactly one of `serial` and `file` is given.
        file: A recording of the vendor's recorder (.db3, .bag), played in a loop.
        fps: Frames per second of the profile; its size is the camera's width_px and height_px.
        depth: Whether depth, aligned to colour, comes with every image.
        timestamps: `global`: the vendor's host time; `hardware`: ticks of the device, mapped here; `arrival`: when
            the frame came, for a system without metadata support.
        latency_ms: For `hardware` and `arrival`: shortest time from capture to reception.
        intrinsics: `factory`: those stored in the device; `rig`: those of the rig file, from a calibration.
        warm_up_frames: Frames thrown away after every start, while exposure settles.
        lost_after_s: Silence after which the camera counts as unplugged and is looked for.
        color: Options of the colour sensor by the vendor's name, e.g. exposure, gain, power_line_frequency.
        depth_sensor: Options of the depth sensor, e.g. inter_cam_sync_mode, emitter_enabled, laser_power.
    """

    serial: str = ""
    file: str = ""
    fps: int
    depth: bool = False
    timestamps: str = "global"
    latency_ms: float = 0.0
    intrinsics: str = "factory"
    warm_up_frames: int = 30
    lost_after_s: float = 1.5
    color: Mapping[str, float] = field(default_factory=dict)
    depth_sensor: Mapping[str, float] = field(default_factory=dict)


def read_settings(spec: CameraSpec) -> RealSenseSettings:
    """Read `settings` of a camera strictly.

    Raises:
        ConfigError: Listing every unknown key, wrong type and contradiction.
    """
    known = {item.name for item in fields(RealSenseSettings)}
    problems = [
        f"unknown setting '{key}': expected one of {sorted(known)}" for key in spec.settings if key not in known
    ]
    problems += _type_problems(spec.settings)
    for key, choices in _CHOICES.items():
        if spec.settings.get(key, choices[0]) not in choices:
            problems.append(f"'{key}' is {spec.settings[key]!r}; expected one of {list(choices)}")
    if bool(spec.settings.get("serial")) == bool(spec.settings.get("file")):
        problems.append("expected exactly one of 'serial' (quoted, see 'rs-enumerate-devices -s') and 'file'")
    if spec.settings.get("file") and (spec.settings.get("color") or spec.settings.get("depth_sensor")):
        problems.append("a recorded file has no options to set; remove 'color' and 'depth_sensor'")
    if problems:
        raise ConfigError(join_problems(f"camera '{spec.name}', settings", problems))
    return RealSenseSettings(**spec.settings)


def _type_problems(settings: Mapping[str, Any]) -> list[str]:
    expected: dict[str, tuple[Any, str]] = {
        "serial": (str, "a string: quote the number"),
        "file": (str, "a path"),
        "fps": (int, "a whole number of frames per second"),
        "depth": (bool, "true or false"),
        "latency_ms": ((int, float), "milliseconds"),
        "warm_up_frames": (int, "a number of frames"),
        "lost_after_s": ((int, float), "seconds"),
    }
    problems = [
        f"'{key}' is {settings[key]!r}; expected {words}"
        for key, (kind, words) in expected.items()
        if key in settings and (not isinstance(settings[key], kind) or (kind is not bool and settings[key] is True))
    ]
    if "fps" not in settings:
        problems.append("'fps' is missing; expected the frames per second of the profile, e.g. 30")
    for key in ("color", "depth_sensor"):
        options = settings.get(key, {})
        if not isinstance(options, Mapping) or not all(
            isinstance(value, (bool, int, float)) for value in options.values()
        ):
            problems.append(f"'{key}' is {options!r}; expected a mapping from option name to number, or true or false")
    return problems


def apply_options(sdk: Any, sensor: Any, options: Mapping[str, float]) -> list[str]:
    """Set options of one sensor, automatisms first.

    Args:
        sdk: The module pyrealsense2.
        sensor: One of the device's sensors.
        options: Value by the vendor's option name.

    Returns:
        One sentence per option that does not exist, is out of range or is refused.
    """
    problems = []
    for name in sorted(options, key=lambda option: option not in _FIRST):
        option = sdk.option.__members__.get(name)
        if option is None or not sensor.supports(option):
            available = sorted(item.name for item in sensor.get_supported_options())
            problems.append(f"option '{name}' does not exist on this sensor; available: {available}")
            continue
        value, limits = float(options[name]), sensor.get_option_range(option)
        if not limits.min <= value <= limits.max:
            problems.append(f"option '{name}' is asked to be {value:g}; expected {_words(limits)}")
            continue
        try:
            sensor.set_option(option, value)
        except RuntimeError as error:
            problems.append(f"option '{name}' can not be set to {value:g} ({error}); expected {_words(limits)}")
    return problems


def verify_options(sdk: Any, sensor: Any, options: Mapping[str, float]) -> list[str]:
    """Read options back; one sentence per value that is not what was asked for."""
    problems = []
    for name, asked in options.items():
        option = sdk.option.__members__[name]
        got, limits = float(sensor.get_option(option)), sensor.get_option_range(option)
        if abs(got - float(asked)) > max(limits.step / 2, 1e-6 * abs(got)):
            problems.append(
                f"option '{name}' was asked to be {float(asked):g}, the device says {got:g}; {_words(limits)}"
            )
    return problems


def _words(limits: Any) -> str:
    return f"{limits.min:g} to {limits.max:g} in steps of {limits.step:g}, factory {limits.default:g}"
