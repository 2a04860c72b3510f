"""What a trial takes place in: the world as it is, and the rig as the policy believes it to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vla3d_ros.adapter.embodiment import Embodiment
from vla3d_ros.camera.rig import CameraRig
from vla3d_ros.evaluation.nudge import Nudge, draw_nudge
from vla3d_ros.execution import ExecutionConfig
from vla3d_ros.twin.placement import TrialScene, draw_trial
from vla3d_ros.twin.scene import SceneConfig
from vla3d_ros.twin.surroundings import Surroundings
from vla3d_ros.twin.variation import Variation
from vla3d_ros.twin.variation_draw import (
    between,
    draw_distractors,
    draw_lighting,
    draw_plates,
    place_cameras,
    vary_rig,
    vary_scene,
)
from vla3d_ros.twin.world import TwinWorld

NOMINAL = Variation(name="nominal", title="as the files have it")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TrialStage:
    """One trial's world with everything on it, drawn from one generator.

    Attributes:
        scene: As varied; what a judge goes by.
        world: Built and laid out.
        trial: What is asked for, and where things lie.
        nudge: A push to come, or None.
        told_rig: Cameras as the policy is told that they are; those of `world` are as they truly are.
        missing_views: Cameras whose pictures never come.
        is_state_missing: Whether the policy is kept from the robot's states.
        extra_latency_ms: Added between capture and chunk.
        actuation_ms: Added between a command and the arm's driver.
    """

    scene: SceneConfig
    world: TwinWorld
    trial: TrialScene
    nudge: Nudge | None
    told_rig: CameraRig
    missing_views: tuple[str, ...]
    is_state_missing: bool
    extra_latency_ms: float
    actuation_ms: float

    def bounds(self, execution: ExecutionConfig) -> ExecutionConfig:
        """Return the bounds of motion for the table of this stage."""
        top_z_m = self.scene.table.top_z_m
        if top_z_m == 0.0:
            return execution
        gate = execution.gate
        x_m, y_m, z_m = gate.workspace_lower_m
        gate = replace(gate, table_z_m=gate.table_z_m + top_z_m, workspace_lower_m=(x_m, y_m, z_m + top_z_m))
        return replace(execution, gate=gate)


def set_stage(
    embodiment: Embodiment,
    rig: CameraRig,
    scene: SceneConfig,
    generator: np.random.Generator,
    *,
    nudge_share: float = 0.0,
    variation: Variation | None = None,
) -> TrialStage:
    """Draw a trial and build its world.

    What a variation draws comes from generators of its own: with the same generator, trials of all variations that
    leave the objects alone have the same objects in the same places, and the same nudges.

    Raises:
        ConfigError: If things do not fit on the table.
    """
    variation = variation or NOMINAL
    for_scene, for_rig, for_plates, for_distractors, for_light, for_timing = generator.spawn(6)
    scene = vary_scene(variation, scene, for_scene)
    riding = riding_cameras(embodiment, rig)
    true_rig = vary_rig(variation.cameras, rig, riding, for_rig)
    trial = draw_trial(scene, generator)
    is_nudged = generator.random() < nudge_share
    nudge = draw_nudge(scene, trial, generator) if is_nudged else None
    distractors, occlusion = variation.distractors, variation.occlusion
    surroundings = Surroundings(
        distractors=draw_distractors(distractors.count, scene, trial, for_distractors) if distractors else (),
        lighting=draw_lighting(variation.light, for_light),
    )
    if occlusion is not None:
        at = trial.cubes[trial.cube]
        target = np.array([at.x_m, at.y_m, scene.table.top_z_m + scene.cubes.size_m / 2])
        frame_pose = TwinWorld(embodiment, true_rig, scene).frame_pose
        fixed = [camera.name for camera in rig.cameras if camera.name not in riding]
        places = place_cameras(true_rig, fixed, frame_pose)
        surroundings = replace(surroundings, plates=draw_plates(occlusion, scene, target, places, for_plates))
    world = TwinWorld(embodiment, true_rig, scene, surroundings=surroundings)
    world.place_trial(trial)
    timing, missing, cameras = variation.timing, variation.missing, variation.cameras
    return TrialStage(
        scene=scene,
        world=world,
        trial=trial,
        nudge=nudge,
        told_rig=true_rig if cameras is None or cameras.is_told else rig,
        missing_views=tuple(riding) if missing is not None and missing.riding_views else (),
        is_state_missing=missing is not None and missing.states,
        extra_latency_ms=between(timing.extra_latency_ms, for_timing) if timing else 0.0,
        actuation_ms=between(timing.actuation_ms, for_timing) if timing else 0.0,
    )


def riding_cameras(embodiment: Embodiment, rig: CameraRig) -> Sequence[str]:
    """Return the names of the cameras that sit on an end effector."""
    ee_frames = {arm.ee_frame for arm in embodiment.arms}
    return [camera.name for camera in rig.cameras if camera.mount.parent_frame in ee_frames]
