"""Observations drawn from a seed, for packages that nobody recorded observations for yet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import CameraModel, Observation, ReferringPrompt, Rgb, RobotState, View
from vla3d_ros.geometry import Transform
from vla3d_ros.policy.engine import Engine, Guidance
from vla3d_ros.policy.golden import GoldenCase
from vla3d_ros.policy.manifest import EmbodimentSpec, Manifest
from vla3d_ros.policy.parity import run_case
from vla3d_ros.policy.rtc import soft_mask

_SIZE_PX = (160, 120)
_STAMP_NS = 1_000_000_000
_INSTRUCTION = "put the red cube on the blue pad"
_BOXES = 12


def drawn_cases(manifest: Manifest, engine: Engine, seed: int) -> tuple[GoldenCase, ...]:
    """Return golden cases of drawn observations, with what an engine makes of them.

    One whole observation; one without its last view and, if the graphs can, continuing a chunk; one without states.

    Args:
        manifest: The package's.
        engine: The reference: ONNX Runtime on a CPU.
        seed: Of everything drawn.
    """
    rng = np.random.default_rng(seed)
    cases = []
    for index in range(3):
        spec = manifest.embodiments[index % len(manifest.embodiments)]
        observation = drawn_observation(manifest, spec, rng)
        if index == 1 and len(manifest.views) > 1 and not manifest.views[-1].is_required:
            views = observation.views[:-1]
            observation = replace(observation, views=views, missing_views=(manifest.views[-1].name,))
        if index == 2:
            observation = replace(observation, robot_states=())
        guidance = _drawn_guidance(manifest, rng) if index == 1 else None
        cases.append(golden_case(manifest, engine, observation, spec.name, rng, guidance))
    return tuple(cases)


def golden_case(
    manifest: Manifest,
    engine: Engine,
    observation: Observation,
    embodiment: str,
    rng: np.random.Generator,
    guidance: Guidance | None = None,
) -> GoldenCase:
    """Return a case of one observation, whose cameras and arms are called as the package's views and slots."""
    shape = (manifest.actions.steps, manifest.chunk_width)
    noise = rng.standard_normal(shape, dtype=np.float32)
    case = GoldenCase(
        observation=observation,
        embodiment=embodiment,
        noise=noise,
        flow_steps=manifest.flow_steps,
        actions=noise,
        guidance=guidance,
    )
    output = run_case(manifest, engine, case)
    return replace(case, actions=output.actions, display=dict(output.display))


def drawn_observation(
    manifest: Manifest, embodiment: EmbodimentSpec, rng: np.random.Generator, size_px: tuple[int, int] = _SIZE_PX
) -> Observation:
    """Return an observation of coloured boxes, cameras that look down at a table, and arms somewhere above it.

    Args:
        manifest: Says which views, arms and prompt.
        embodiment: Says which joints.
        rng: Draws.
        size_px: (width, height) of the cameras' pictures.
    """
    views = tuple(_drawn_view(spec.name, spec.depth != "unused", rng, size_px) for spec in manifest.views)
    filled = [(slot, joints) for slot, joints in zip(manifest.arm_slots, embodiment.joints, strict=True) if joints > 0]
    prompt = None
    if manifest.uses_prompt:
        camera = manifest.views[0].name
        prompt = ReferringPrompt(camera=camera, rgb=_drawn_image(rng, size_px), colour="red")
    return Observation(
        stamp_ns=_STAMP_NS,
        views=views,
        robot_states=tuple(_drawn_state(slot, joints, rng) for slot, joints in filled),
        instruction=_INSTRUCTION,
        prompt=prompt,
    )


def _drawn_view(name: str, has_depth: bool, rng: np.random.Generator, size_px: tuple[int, int]) -> View:
    width, height = size_px
    focal_px = 0.95 * width
    K = np.array([[focal_px, 0.0, (width - 1) / 2], [0.0, focal_px, (height - 1) / 2], [0.0, 0.0, 1.0]])
    depth_m = None
    if has_depth:
        rows = np.linspace(1.1, 0.6, height, dtype=np.float32)[:, None]
        depth_m = np.repeat(rows, width, axis=1)
        depth_m[: height // 4, : width // 4] = np.nan
    position = [*rng.uniform(-0.2, 0.2, 2), rng.uniform(0.7, 1.0)]
    return View(
        camera=name,
        rgb=_drawn_image(rng, size_px),
        model=CameraModel(width_px=width, height_px=height, K=K),
        T_base_camera=Transform.from_rpy(position, [np.pi - rng.uniform(0.0, 0.5), 0.0, rng.uniform(-0.5, 0.5)]),
        stamp_ns=_STAMP_NS,
        depth_m=depth_m,
    )


def _drawn_image(rng: np.random.Generator, size_px: tuple[int, int]) -> Rgb:
    width, height = size_px
    image: NDArray[np.uint8] = np.empty((height, width, 3), np.uint8)
    image[:] = rng.integers(40, 200, 3)
    for _ in range(_BOXES):
        left, top = rng.integers(0, width - 20), rng.integers(0, height - 20)
        size = rng.integers(height // 15, height // 3, 2)
        image[top : top + size[0], left : left + size[1]] = rng.integers(0, 256, 3)
    return image


def _drawn_state(slot: str, joints: int, rng: np.random.Generator) -> RobotState:
    position = [rng.uniform(0.3, 0.6), rng.uniform(-0.2, 0.2), rng.uniform(0.1, 0.4)]
    return RobotState(
        arm=slot,
        stamp_ns=_STAMP_NS,
        joint_names=tuple(f"joint{number + 1}" for number in range(joints)),
        q=rng.uniform(-1.0, 1.0, joints),
        dq=np.zeros(joints),
        T_base_ee=Transform.from_rpy(position, [np.pi, 0.0, rng.uniform(-1.0, 1.0)]),
        gripper_opening=float(rng.uniform(0.0, 1.0)),
    )


def _drawn_guidance(manifest: Manifest, rng: np.random.Generator) -> Guidance | None:
    steps, width = manifest.actions.steps, manifest.chunk_width
    if manifest.rtc.kind == "none":
        return None
    frozen, end = _frozen_steps(steps, manifest)
    is_prefix = manifest.rtc.kind == "prefix"
    return Guidance(
        previous=rng.standard_normal((steps, width), dtype=np.float32),
        weights=np.zeros(steps, np.float32) if is_prefix else soft_mask(steps, frozen, end),
        beta=manifest.rtc.beta,
        prefix_mask=(np.arange(steps) < frozen) & is_prefix,
    )


def _frozen_steps(steps: int, manifest: Manifest) -> tuple[int, int]:
    frozen = max(1, min(steps // 6, manifest.rtc.max_prefix_steps or steps))
    return frozen, max(frozen, steps // 2)
