"""Golden cases: an observation, the flow's noise, and the chunk that must come out. Plain `npz`, never pickled."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import CameraModel, Observation, ReferringPrompt, RobotState, View
from vla3d_ros.errors import PackageError, ShapeError
from vla3d_ros.geometry import Transform
from vla3d_ros.policy.engine import Guidance
from vla3d_ros.policy.manifest import Manifest

_GUIDANCE = ("previous", "weights", "beta", "prefix_mask")
_DISPLAY = "display_"
_LARGEST_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GoldenCase:
    """One case. Cameras are called as the package's views, arms as its slots.

    noise and actions (K, A*10) float32, normalised; display as the context graph gives it, without the batch axis.
    """

    observation: Observation
    embodiment: str
    noise: NDArray[np.float32]
    flow_steps: int
    actions: NDArray[np.float32]
    display: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    guidance: Guidance | None = None


def write_golden(path: Path, case: GoldenCase) -> None:
    """Write a case."""
    observation = case.observation
    arrays: dict[str, Any] = {
        "stamp_ns": observation.stamp_ns,
        "instruction": observation.instruction,
        "embodiment": case.embodiment,
        "flow_steps": case.flow_steps,
        "noise": case.noise,
        "actions": case.actions,
        "cameras": np.array([view.camera for view in observation.views]),
        "arms": np.array([state.arm for state in observation.robot_states]),
    }
    for index, view in enumerate(observation.views):
        arrays |= {f"rgb_{index}": view.rgb, f"K_{index}": view.model.K, f"distortion_{index}": view.model.distortion}
        arrays[f"T_base_camera_{index}"] = view.T_base_camera.matrix
        if view.depth_m is not None:
            arrays[f"depth_m_{index}"] = view.depth_m
    for index, state in enumerate(observation.robot_states):
        arrays |= {f"q_{index}": state.q, f"T_base_ee_{index}": state.T_base_ee.matrix}
        arrays[f"opening_{index}"] = state.gripper_opening
    if observation.prompt is not None:
        arrays |= {"prompt_rgb": observation.prompt.rgb, "prompt_colour": observation.prompt.colour}
        arrays["prompt_camera"] = observation.prompt.camera
    if case.guidance is not None:
        arrays |= {name: getattr(case.guidance, name) for name in _GUIDANCE}
    arrays |= {f"{_DISPLAY}{name}": array for name, array in case.display.items()}
    np.savez_compressed(path, **arrays)


def read_golden(path: Path) -> GoldenCase:
    """Read a case.

    Raises:
        PackageError: If the file is not one.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > _LARGEST_BYTES:
            raise ValueError(f"it unpacks to {size} bytes, more than {_LARGEST_BYTES}")
        with np.load(path, allow_pickle=False) as arrays:
            return _case(dict(arrays.items()))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise PackageError(f"golden case {path.name} can not be read: {error}; export the package again") from error


def golden_problems(path: Path, manifest: Manifest) -> list[str]:
    """Return how a case does not fit its package."""
    try:
        case = read_golden(path)
    except PackageError as error:
        return [str(error)]
    problems = []
    shape = (manifest.actions.steps, manifest.chunk_width)
    for name in ("noise", "actions"):
        array = getattr(case, name)
        if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
            problems.append(f"{name} is {array.dtype} {list(array.shape)}; expected finite float32 {list(shape)}")
    views, slots = {view.name for view in manifest.views}, set(manifest.arm_slots)
    if strange := sorted({view.camera for view in case.observation.views} - views):
        problems.append(f"has views {strange}; the package's are {sorted(views)}")
    if strange := sorted({state.arm for state in case.observation.robot_states} - slots):
        problems.append(f"has arms {strange}; the package's slots are {sorted(slots)}")
    if manifest.embodiment(case.embodiment) is None:
        known = [spec.name for spec in manifest.embodiments]
        problems.append(f"is of embodiment '{case.embodiment}'; the package knows {known}")
    if case.flow_steps < 1:
        problems.append(f"has {case.flow_steps} flow steps; expected at least 1")
    return [f"golden case {path.name} {problem}" for problem in problems]


def _case(arrays: Mapping[str, NDArray[Any]]) -> GoldenCase:
    stamp_ns = int(arrays["stamp_ns"])
    views = tuple(_view(arrays, index, str(name), stamp_ns) for index, name in enumerate(arrays["cameras"]))
    states = tuple(_state(arrays, index, str(name), stamp_ns) for index, name in enumerate(arrays["arms"]))
    prompt = None
    if "prompt_rgb" in arrays:
        camera, colour = str(arrays["prompt_camera"]), str(arrays["prompt_colour"])
        prompt = ReferringPrompt(camera=camera, rgb=arrays["prompt_rgb"], colour=colour)
    observation = Observation(
        stamp_ns=stamp_ns, views=views, robot_states=states, instruction=str(arrays["instruction"]), prompt=prompt
    )
    guidance = None
    if "previous" in arrays:
        values = {name: arrays[name] for name in _GUIDANCE}
        guidance = Guidance(**{**values, "beta": float(values["beta"])})  # type: ignore[arg-type]
    return GoldenCase(
        observation=observation,
        embodiment=str(arrays["embodiment"]),
        noise=arrays["noise"],
        flow_steps=int(arrays["flow_steps"]),
        actions=arrays["actions"],
        display={name[len(_DISPLAY) :]: array for name, array in arrays.items() if name.startswith(_DISPLAY)},
        guidance=guidance,
    )


def _view(arrays: Mapping[str, NDArray[Any]], index: int, camera: str, stamp_ns: int) -> View:
    rgb = arrays[f"rgb_{index}"]
    if rgb.ndim != 3 or rgb.dtype != np.uint8:
        raise ShapeError(f"view '{camera}' is {rgb.dtype} {list(rgb.shape)}; expected uint8 (H, W, 3)")
    model = CameraModel(
        width_px=rgb.shape[1], height_px=rgb.shape[0], K=arrays[f"K_{index}"], distortion=arrays[f"distortion_{index}"]
    )
    T_base_camera = Transform(arrays[f"T_base_camera_{index}"])
    depth_m = arrays.get(f"depth_m_{index}")
    return View(camera=camera, rgb=rgb, model=model, T_base_camera=T_base_camera, stamp_ns=stamp_ns, depth_m=depth_m)


def _state(arrays: Mapping[str, NDArray[Any]], index: int, arm: str, stamp_ns: int) -> RobotState:
    q = arrays[f"q_{index}"]
    return RobotState(
        arm=arm,
        stamp_ns=stamp_ns,
        joint_names=tuple(f"joint{number + 1}" for number in range(len(q))),
        q=q,
        dq=np.zeros(len(q)),
        T_base_ee=Transform(arrays[f"T_base_ee_{index}"]),
        gripper_opening=float(arrays[f"opening_{index}"]),
    )
