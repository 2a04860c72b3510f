"""One episode: a trial of the teacher in the twin, looked at a few times a second, with the truth about every look."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.camera.rig import CameraSpec
from vla3d_ros.datatypes import ActionChunk, Observation, View
from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.trial import TrialResult
from vla3d_ros.evaluation.trial_loop import TrialLoop
from vla3d_ros.training.demonstrations.disturbance import Disturbance
from vla3d_ros.training.demonstrations.episode_file import episode_bytes
from vla3d_ros.training.demonstrations.eyes import ClosedEyes
from vla3d_ros.training.demonstrations.plan import DemonstrationPlan
from vla3d_ros.training.demonstrations.recorder import EpisodeRecorder, KnownMoment, KnownObjects
from vla3d_ros.training.demonstrations.teacher import Teacher
from vla3d_ros.training.samples import OTHER, TARGET_CUBE, TARGET_PAD
from vla3d_ros.twin.ground_truth import TruePicture, TruthRenderer, object_surface, scaled_camera, seen_share
from vla3d_ros.twin.model import CUBE_PREFIX, PAD_PREFIX
from vla3d_ros.twin.renderer import TwinRenderer
from vla3d_ros.twin.surroundings import DISTRACTOR_PREFIX
from vla3d_ros.twin.truth import Truth

Float = NDArray[np.float64]

_DEMONSTRATION = 0xDE  # sets episodes apart from the trials of an evaluation with the same seed


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeEntry:
    """What a manifest says about one episode; file and sha256 are empty if its samples were not kept."""

    episode: int
    variation: str
    instruction: str
    outcome: str
    reason: str
    sim_s: float
    attempts: int
    samples: int
    disturbed: int
    phases: Mapping[str, int]
    file: str
    sha256: str
    code: str


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class MadeEpisode:
    """An episode and the content of its file; None if it is not kept."""

    entry: EpisodeEntry
    content: bytes | None


def make_episode(plan: DemonstrationPlan, number: int, code: str) -> MadeEpisode:
    """Make one episode; the same plan and number always give the same bytes.

    Args:
        plan: What it is made of.
        number: From 0.
        code: Version of the code, for the manifest.
    """
    settings = plan.settings
    generator = np.random.default_rng([settings.seed, number, _DEMONSTRATION])
    for_choice, for_disturbance = generator.spawn(2)
    names = sorted(settings.variations)
    shares = np.array([settings.variations[name] for name in names])
    variation = names[int(for_choice.choice(len(names), p=shares / shares.sum()))]
    setup = replace(
        plan.setup,
        variation=plan.variations[variation],
        latency_ms=settings.latency_ms,
        nudge_share=settings.nudge_share,
        timeout_s=settings.timeout_s,
        eyes=ClosedEyes,
        policy_factory=partial(Teacher, plan.teacher),
    )
    loop = TrialLoop(setup, generator)
    demonstration = _Demonstration(plan, loop, for_choice, for_disturbance)
    try:
        result = loop.run(number, settings.seed)
    finally:
        demonstration.close()
    return _made(plan, number, variation, demonstration, result, code)


def _made(
    plan: DemonstrationPlan, number: int, variation: str, made: _Demonstration, result: TrialResult, code: str
) -> MadeEpisode:
    is_kept = len(made.recorder) > 0 and (result.is_success or plan.settings.keeps_failures)
    episode = made.recorder.episode(result.instruction) if is_kept else None
    content = None if episode is None else episode_bytes(episode)
    entry = EpisodeEntry(
        episode=number,
        variation=variation,
        instruction=result.instruction,
        outcome=result.outcome,
        reason=result.reason,
        sim_s=round(result.sim_s, 3),
        attempts=result.attempts or 0,
        samples=0 if episode is None else len(episode),
        disturbed=0 if episode is None else int(episode.disturbed.sum()),
        phases={} if episode is None else dict(sorted(Counter(episode.phases).items())),
        file="" if content is None else f"episode_{number:06d}.npz",
        sha256="" if content is None else hashlib.sha256(content).hexdigest(),
        code=code,
    )
    return MadeEpisode(entry=entry, content=content)


class _Demonstration:
    """Listens to a trial and records what is to be learnt from it."""

    def __init__(
        self,
        plan: DemonstrationPlan,
        loop: TrialLoop,
        for_choice: np.random.Generator,
        for_disturbance: np.random.Generator,
    ) -> None:
        teacher, eyes = loop.policy, loop.eyes
        assert isinstance(teacher, Teacher) and isinstance(eyes, ClosedEyes)
        self._loop, self._teacher, self._eyes = loop, teacher, eyes
        world, settings = loop.world, plan.settings
        arm = world.embodiment.arm(teacher.description.arms[0])
        self._T_base_world = world.frame_pose(arm.base_frame).inverse()
        table_z_m = float(self._T_base_world.apply(np.array([0.0, 0.0, loop.scene.table.top_z_m]))[2])
        teacher.begin(self._T_base_world, table_z_m, Disturbance(settings.disturbances, for_disturbance))
        names, roles = _objects(loop)
        surfaces = [object_surface(world.model, name, settings.surface_points) for name in names]
        self._surfaces = np.stack(surfaces)
        cameras = [world.rig.camera(name) for name in teacher.description.cameras]
        colours = _scaled(cameras, settings.pictures.rendered_width_px)
        self._models = {camera.name: camera.model for camera in colours}
        self._truth_models = {c.name: c.model for c in _scaled(cameras, settings.pictures.truth_width_px)}
        self._colours = TwinRenderer(world.model, colours)
        self._truths = TruthRenderer(world.model, _scaled(cameras, settings.pictures.truth_width_px), names)
        objects = KnownObjects(names=names, roles=roles, surfaces=self._surfaces)
        self.recorder = EpisodeRecorder(settings.pictures, [camera.name for camera in cameras], [arm.name], objects)
        self._stride = plan.stride(world.rig.rate_hz)
        self._count = int(for_choice.integers(self._stride))
        self._moment: tuple[int, Float] | None = None
        self._observation: Observation | None = None
        loop.on_truth, loop.on_observation, loop.on_chunk = self._on_truth, self._on_observation, self._on_chunk

    def close(self) -> None:
        self._colours.close()
        self._truths.close()

    def _on_truth(self, truth: Truth) -> None:
        self._teacher.see(truth)
        assert self._eyes.last is not None
        self._moment = (truth.stamp_ns, self._eyes.last)

    def _on_observation(self, observation: Observation) -> None:
        self._observation = observation

    def _on_chunk(self, chunk: ActionChunk) -> None:
        self._count += 1
        observation, label = self._observation, self._teacher.label
        if self._count % self._stride or observation is None or label is None:
            return
        assert self._moment is not None and self._moment[0] == observation.stamp_ns
        render_state = self._moment[1]
        true_pictures = self._truths.render(render_state)
        views = self._views(observation, render_state, true_pictures)
        self.recorder.add(
            replace(observation, views=views),
            label,
            self._known(views, render_state, true_pictures),
            phase=self._teacher.phase,
            is_disturbed=self._teacher.is_disturbed,
        )

    def _views(
        self, observation: Observation, render_state: Float, true_pictures: Mapping[str, TruePicture]
    ) -> tuple[View, ...]:
        pictures = self._colours.render(render_state)
        return tuple(
            replace(
                view,
                rgb=pictures[view.camera],
                model=self._models[view.camera],
                depth_m=true_pictures[view.camera].depth_m,
            )
            for view in observation.views
        )

    def _known(
        self, views: tuple[View, ...], render_state: Float, true_pictures: Mapping[str, TruePicture]
    ) -> KnownMoment:
        Ts_base_object = self._T_base_world.matrix @ self._truths.object_poses(render_state)
        surfaces_base = np.einsum("oij,osj->osi", Ts_base_object[:, :3, :3], self._surfaces)
        surfaces_base += Ts_base_object[:, None, :3, 3]
        seen = {camera: np.zeros(len(self._surfaces)) for camera in true_pictures}
        for view in views:
            numbers, K = true_pictures[view.camera].objects, self._truth_models[view.camera].K
            T_camera_base = view.T_base_camera.inverse()
            seen[view.camera] = np.array(
                [
                    seen_share(numbers, index + 1, T_camera_base.apply(surface), K)
                    for index, surface in enumerate(surfaces_base)
                ]
            )
        numbers_by_camera = {camera: picture.objects for camera, picture in true_pictures.items()}
        return KnownMoment(numbers=numbers_by_camera, T_base_object=Ts_base_object, seen=seen)


def _objects(loop: TrialLoop) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return names of bodies and what they are to the instruction."""
    trial = loop.trial
    roles = {f"{CUBE_PREFIX}{name}": TARGET_CUBE if name == trial.cube else OTHER for name in trial.cubes}
    roles |= {f"{PAD_PREFIX}{name}": TARGET_PAD if name == trial.pad else OTHER for name in trial.pads}
    model = loop.world.model
    bodies = [model.body(index).name for index in range(model.nbody)]
    roles |= {name: OTHER for name in bodies if name.startswith(DISTRACTOR_PREFIX)}
    return tuple(roles), np.array(list(roles.values()), np.int64)


def _scaled(cameras: list[CameraSpec], width_px: int) -> list[CameraSpec]:
    too_wide = [camera.name for camera in cameras if width_px > camera.model.width_px]
    if too_wide:
        raise ConfigError(f"pictures {width_px} px wide are more than cameras {too_wide} have")
    return [scaled_camera(camera, width_px) for camera in cameras]
