"""An observation becomes the inputs of a package's context graph, in buffers that are written again each time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import Observation, RobotState, View
from vla3d_ros.errors import ConfigError, PerceptionError, ShapeError
from vla3d_ros.policy.image_fit import ImageFit
from vla3d_ros.policy.manifest import ACTION_WIDTH, EmbodimentSpec, Manifest, ViewSpec
from vla3d_ros.policy.tokenizer import HashedWords

PolicyInputs = Mapping[str, NDArray[Any]]


class Preprocessor:
    """Views are found by name, so their order in an observation does not matter.

    A missing view is black and masked; a missing robot state is zero and masked; an arm slot without an arm is masked.
    """

    def __init__(
        self, manifest: Manifest, cameras: Mapping[str, str], arms: Mapping[str, str], embodiment: str
    ) -> None:
        """Take names.

        Args:
            manifest: The package's.
            cameras: Camera of each of the package's views; views may be left out unless they are required.
            arms: Arm in each of the package's slots; slots may be left empty.
            embodiment: Which of the package's robots this is.

        Raises:
            ConfigError: If the package has no such embodiment.
        """
        spec = manifest.embodiment(embodiment)
        if spec is None:
            known = [known.name for known in manifest.embodiments]
            raise ConfigError(
                f"policy '{manifest.name}' does not know embodiment '{embodiment}': expected one of {known}"
            )
        self._manifest = manifest
        self._embodiment = spec
        self._cameras = dict(cameras)
        self._arms = dict(arms)
        self._fits = {view.name: _fit(view, cameras.get(view.name, view.name)) for view in manifest.views}
        self._prompt_fits: dict[str, ImageFit] = {}
        self._words = HashedWords(manifest.text.buckets, manifest.text.length) if manifest.text.kind != "none" else None
        self._buffers = _buffers(manifest, spec)

    def __call__(self, observation: Observation) -> PolicyInputs:
        """Return the context graph's inputs, batch axis included; valid until the next call.

        Raises:
            PerceptionError: If a view, depth or prompt that the policy can not do without is missing.
            ShapeError: If an arm has not as many joints as the policy learned.
            InstructionError: If the instruction has too many words.
        """
        views = {view.camera: view for view in observation.views}
        for index, spec in enumerate(self._manifest.views):
            self._fill_view(index, spec, views.get(self._cameras.get(spec.name, "")))
        states = {state.arm: state for state in observation.robot_states}
        for index, slot in enumerate(self._manifest.arm_slots):
            self._fill_state(index, slot, states.get(self._arms.get(slot, "")))
        if self._words is not None:
            self._buffers["text_tokens"][0], self._buffers["text_mask"][0] = self._words.encode(observation.instruction)
        if self._manifest.uses_prompt:
            self._fill_prompt(observation)
        return self._buffers

    def _fill_view(self, index: int, spec: ViewSpec, view: View | None) -> None:
        buffers = self._buffers
        buffers["view_mask"][0, index] = view is not None
        if view is None:
            if spec.is_required:
                camera = self._cameras.get(spec.name, "none")
                raise PerceptionError(f"view '{spec.name}' (camera '{camera}') is missing; the policy needs it")
            buffers["images"][0, index] = 0
            buffers["depth_m"][0, index] = 0.0
            K = stand_in_intrinsics(spec.width_px, spec.height_px)
            buffers["K"][0, index], buffers["T_base_camera"][0, index] = K, np.eye(4)
            return
        fit = self._fits[spec.name]
        fit.prepare(view.model)
        fit.place_rgb(view.rgb, buffers["images"][0, index])
        buffers["K"][0, index] = fit.K
        buffers["T_base_camera"][0, index] = view.T_base_camera.matrix
        if spec.depth == "required" and view.depth_m is None:
            raise PerceptionError(f"view '{spec.name}' (camera '{view.camera}') has no depth; the policy needs it")
        if spec.depth == "unused" or view.depth_m is None:
            buffers["depth_m"][0, index] = 0.0
        else:
            fit.place_depth(view.depth_m, buffers["depth_m"][0, index])

    def _fill_state(self, index: int, slot: str, state: RobotState | None) -> None:
        buffers, joints = self._buffers, self._embodiment.joints[index]
        buffers["state_mask"][0, index] = state is not None
        buffers["state"][0, index] = 0.0
        if state is None:
            buffers["T_base_ee"][0, index] = np.eye(4)
            return
        if len(state.q) != joints:
            raise ShapeError(
                f"arm '{state.arm}' in slot '{slot}' has {len(state.q)} joints; embodiment '{self._embodiment.name}' "
                f"has {joints}: choose the embodiment that this arm is"
            )
        width = ACTION_WIDTH + joints
        values = np.concatenate([pose_numbers(state.T_base_ee.matrix), [state.gripper_opening], state.q])
        mean, std = self._embodiment.state_mean[index, :width], self._embodiment.state_std[index, :width]
        buffers["state"][0, index, :width] = (values - mean) / std
        buffers["T_base_ee"][0, index] = state.T_base_ee.matrix

    def _fill_prompt(self, observation: Observation) -> None:
        prompt, image = observation.prompt, self._buffers["prompt_image"][0]
        self._buffers["prompt_mask"][0] = prompt is not None
        image[:] = 0
        if prompt is None and self._manifest.requires_prompt:
            raise PerceptionError("there is no prompt picture; the policy needs one with the target's mask on it")
        if prompt is None:
            return
        view = next((view for view in observation.views if view.camera == prompt.camera), None)
        if prompt.camera not in self._prompt_fits:
            self._prompt_fits[prompt.camera] = _fit(self._manifest.views[0], prompt.camera)
        fit = self._prompt_fits[prompt.camera]
        if view is None or view.rgb.shape != prompt.rgb.shape:
            raise PerceptionError(
                f"the prompt's picture is {list(prompt.rgb.shape)} of camera '{prompt.camera}', which has no view of "
                "that size in the observation"
            )
        fit.prepare(view.model)
        fit.place_rgb(prompt.rgb, image)


def pose_numbers(T: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (..., 9) position and first two columns of the rotation of (..., 4, 4) poses."""
    columns = np.swapaxes(T[..., :3, :2], -1, -2).reshape(*T.shape[:-2], 6)
    return np.concatenate([T[..., :3, 3], columns], axis=-1)


def _fit(view: ViewSpec, camera: str) -> ImageFit:
    return ImageFit(camera, (view.width_px, view.height_px), view.fit, view.distortion)


def stand_in_intrinsics(width_px: int, height_px: int) -> NDArray[np.float64]:
    """Return intrinsics (3, 3) that stand in for those of a masked view: finite, and nobody looks."""
    focal_px = float(max(width_px, height_px))
    return np.array([[focal_px, 0.0, 0.5 * width_px - 0.5], [0.0, focal_px, 0.5 * height_px - 0.5], [0.0, 0.0, 1.0]])


def _buffers(manifest: Manifest, embodiment: EmbodimentSpec) -> dict[str, NDArray[Any]]:
    views, slots, view = len(manifest.views), len(manifest.arm_slots), manifest.views[0]
    size = (view.height_px, view.width_px)
    return {
        "images": np.zeros((1, views, *size, 3), np.uint8),
        "view_mask": np.zeros((1, views), np.bool_),
        "K": np.zeros((1, views, 3, 3), np.float32),
        "T_base_camera": np.zeros((1, views, 4, 4), np.float32),
        "depth_m": np.zeros((1, views, *size), np.float32),
        "state": np.zeros((1, slots, manifest.state_width), np.float32),
        "state_mask": np.zeros((1, slots), np.bool_),
        "T_base_ee": np.zeros((1, slots, 4, 4), np.float32),
        "arm_mask": np.array([[count > 0 for count in embodiment.joints]]),
        "embodiment": np.array([embodiment.index], np.int64),
        "text_tokens": np.zeros((1, manifest.text.length), np.int64),
        "text_mask": np.zeros((1, manifest.text.length), np.bool_),
        "prompt_image": np.zeros((1, *size, 3), np.uint8),
        "prompt_mask": np.zeros(1, np.bool_),
    }
