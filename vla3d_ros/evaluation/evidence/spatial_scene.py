"""Scenes in which a policy is asked where it believes things are; asked while it drives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import ActionChunk, Observation, SpatialReport
from vla3d_ros.evaluation.evidence.solids import Solid, solid_of
from vla3d_ros.evaluation.evidence.spatial_truth import KnownObject, SpatialCounts, count_moment
from vla3d_ros.evaluation.trial_loop import TrialLoop, TrialSetup
from vla3d_ros.geometry import Transform
from vla3d_ros.twin.ground_truth import TruePicture, TruthRenderer, object_surface, seen_share
from vla3d_ros.twin.model import CUBE_PREFIX, PAD_PREFIX
from vla3d_ros.twin.surroundings import DISTRACTOR_PREFIX
from vla3d_ros.twin.truth import Truth

Float = NDArray[np.float64]

_SURFACE_POINTS = 96
_MARGIN_S = 0.2
_INSTANTS = 10  # remembered: an observation may leave a few pictures after its own
_NS = 1e9


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SpatialMoment:
    """One moment: what the policy saw and said, what there was. `numbers`: (H, W) object numbers by camera."""

    scene: int
    at_s: float
    observation: Observation
    report: SpatialReport
    objects: tuple[KnownObject, ...]
    numbers: Mapping[str, NDArray[np.uint8]]

    @property
    def counts(self) -> SpatialCounts:
        """What agrees with the truth."""
        return count_moment(self.report, self.objects, self.observation.views, self.numbers)


def look_at_scene(setup: TrialSetup, *, seed: int, scene: int, at_s: tuple[float, ...]) -> tuple[SpatialMoment, ...]:
    """Run the beginning of a trial and keep some moments of it; the same arguments give the same moments.

    Args:
        setup: What the trial is made of.
        seed: Of the scenes.
        scene: Its number.
        at_s: Seconds into the trial, ascending; the first chunk from each on is kept.

    Returns:
        A moment for each of `at_s` at which the trial still ran; none of a policy that does not say where things are.
    """
    loop = TrialLoop(replace(setup, timeout_s=at_s[-1] + _MARGIN_S), np.random.default_rng([seed, scene]))
    watch = _Watch(loop, scene, at_s)
    try:
        loop.run(scene, seed)
    finally:
        watch.close()
    return tuple(watch.moments)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Instant:
    """The world as pictures with one stamp show it: its render state, and where cameras truly were, by name."""

    render_state: Float
    T_base_cameras: Mapping[str, Transform]


class _Watch:
    """Listens to a trial and looks up the truth at the moments asked for."""

    def __init__(self, loop: TrialLoop, scene: int, at_s: tuple[float, ...]) -> None:
        self.moments: list[SpatialMoment] = []
        self._loop, self._scene, self._waiting = loop, scene, list(at_s)
        self._start_ns = loop.world.time_ns
        self._observation: Observation | None = None
        self._instants: dict[int, _Instant] = {}
        self._T_base_world = loop.world.frame_pose(loop.world.embodiment.arms[0].base_frame).inverse()
        self._names = _bodies(loop)
        model = loop.world.model
        self._solids: list[Solid] = [solid_of(model, name) for name in self._names]
        self._surfaces = [object_surface(model, name, _SURFACE_POINTS) for name in self._names]
        self._truths = TruthRenderer(model, loop.world.rig.cameras, self._names)
        loop.on_truth, loop.on_observation, loop.on_chunk = self._on_truth, self._on_observation, self._on_chunk

    def close(self) -> None:
        self._truths.close()

    def _on_truth(self, truth: Truth) -> None:
        world = self._loop.world
        poses = {
            camera.name: self._T_base_world @ world.frame_pose(camera.mount.parent_frame) @ camera.mount.T_parent_camera
            for camera in world.rig.cameras
        }
        self._instants[truth.stamp_ns] = _Instant(render_state=world.render_state(), T_base_cameras=poses)
        while len(self._instants) > _INSTANTS:
            self._instants.pop(min(self._instants))

    def _on_observation(self, observation: Observation) -> None:
        self._observation = observation

    def _on_chunk(self, chunk: ActionChunk) -> None:
        elapsed_s = (chunk.stamp_ns - self._start_ns) / _NS
        report = None if chunk.report is None else chunk.report.spatial
        instant = self._instants.get(chunk.stamp_ns)
        if not self._waiting or elapsed_s < self._waiting[0] or None in (report, instant, self._observation):
            return
        assert report is not None and instant is not None and self._observation is not None
        self._waiting.pop(0)
        pictures = self._truths.render(instant.render_state)
        moment = SpatialMoment(
            scene=self._scene,
            at_s=elapsed_s,
            observation=self._observation,
            report=report,
            objects=self._objects(self._observation, instant, pictures),
            numbers={camera: picture.objects for camera, picture in pictures.items()},
        )
        self.moments.append(moment)

    def _objects(
        self, observation: Observation, instant: _Instant, pictures: Mapping[str, TruePicture]
    ) -> tuple[KnownObject, ...]:
        world, trial = self._loop.world, self._loop.trial
        named = (f"{CUBE_PREFIX}{trial.cube}", f"{PAD_PREFIX}{trial.pad}")
        Ts_base_object = self._T_base_world.matrix @ self._truths.object_poses(instant.render_state)
        objects = []
        for index, name in enumerate(self._names):
            T_base_object = Transform(Ts_base_object[index])
            points_base = T_base_object.apply(self._surfaces[index])
            seen = {}
            for view in observation.views:
                points_camera = instant.T_base_cameras[view.camera].inverse().apply(points_base)
                K = world.rig.camera(view.camera).model.K
                seen[view.camera] = seen_share(pictures[view.camera].objects, index + 1, points_camera, K)
            thing = KnownObject(
                name=name,
                number=index + 1,
                is_named=name in named,
                T_base_object=T_base_object,
                solid=self._solids[index],
                seen=seen,
            )
            objects.append(thing)
        return tuple(objects)


def _bodies(loop: TrialLoop) -> tuple[str, ...]:
    """Return the names of the bodies that are objects, those asked for first."""
    model, trial = loop.world.model, loop.trial
    lying = {f"{CUBE_PREFIX}{name}" for name in trial.cubes} | {f"{PAD_PREFIX}{name}" for name in trial.pads}
    bodies = [model.body(index).name for index in range(model.nbody)]
    return tuple(name for name in bodies if name in lying or name.startswith(DISTRACTOR_PREFIX))
