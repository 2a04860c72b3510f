"""Depth of the twin's cameras: metres along the optical axis, aligned to the colour picture, only where asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vla3d_ros.camera.rig import CameraRig
from vla3d_ros.errors import DependencyError
from vla3d_ros.geometry import project
from vla3d_ros.twin import engine
from vla3d_ros.twin.model import CUBE_PREFIX
from vla3d_ros.twin.runtime import TwinRuntime
from vla3d_ros.twin.world import TwinWorld


@pytest.fixture
def deep_rig(rig: CameraRig) -> CameraRig:
    """The rig, with depth of the head camera."""
    try:
        engine.require_gl()
    except DependencyError as error:
        pytest.skip(str(error))
    cameras = [replace(spec, settings={"depth": spec.name == "head"}) for spec in rig.cameras]
    return replace(rig, cameras=tuple(cameras))


@pytest.fixture
def running(embodiment, deep_rig, scene):
    """A running world with a trial on its table, and the trial."""
    world = TwinWorld(embodiment, deep_rig, scene)
    runtime = TwinRuntime(world, real_time_factor=4.0)
    runtime.start()
    try:
        yield runtime, runtime.call(lambda world: world.place(np.random.default_rng(3))), deep_rig
    finally:
        runtime.stop()


def head_pixel(world: TwinWorld, p_world: np.ndarray) -> tuple[int, int, float]:
    """Return (column, row) of a point in the head camera's picture, and its depth."""
    camera = world.rig.camera("head")
    T_world_camera = world.frame_pose(camera.mount.parent_frame) @ camera.mount.T_parent_camera
    p_camera = T_world_camera.inverse().apply(p_world)
    column, row = project(p_camera, camera.model.K).round().astype(int)
    return int(column), int(row), float(p_camera[2])


def test_depth_comes_with_the_picture_of_the_cameras_that_ask_for_it_and_is_true(running, scene) -> None:
    runtime, trial, _ = running
    sources = {source.name: source for source in runtime.camera_sources()}
    for source in sources.values():
        source.open()
    image = sources["head"].read(20.0)
    later = sources["head"].read(20.0)  # begun after the trial was placed
    assert image is not None and later is not None
    assert sources["side"].read(20.0).depth_m is None
    assert (later.depth_m.shape, later.depth_m.dtype) == ((480, 640), np.float32)
    for at in trial.cubes.values():
        top = np.array([at.x_m, at.y_m, scene.cubes.size_m])
        column, row, depth_m = runtime.call(lambda world, top=top: head_pixel(world, top))
        assert later.depth_m[row, column] == pytest.approx(depth_m, abs=0.003)


def test_a_mask_that_is_asked_for_covers_the_object_and_nothing_else(running, scene) -> None:
    runtime, trial, rig = running
    before_ns = runtime.call(lambda world: world.time_ns)
    found = runtime.ask_mask(rig.camera("head"), f"{CUBE_PREFIX}{trial.cube}").result(20.0)
    assert found.stamp_ns >= before_ns and found.mask.shape == (480, 640)
    for colour, at in trial.cubes.items():
        top = np.array([at.x_m, at.y_m, scene.cubes.size_m])
        column, row, _ = runtime.call(lambda world, top=top: head_pixel(world, top))
        assert found.mask[row, column] == (colour == trial.cube)
    assert 100 < found.mask.sum() < 0.02 * found.mask.size
