"""The twin's truth about its pictures agrees with its own geometry."""

import numpy as np
import pytest

from vla3d_ros.errors import ConfigError, DependencyError, ShapeError
from vla3d_ros.geometry import unproject
from vla3d_ros.twin.engine import require_gl
from vla3d_ros.twin.ground_truth import TruthRenderer, object_surface, scaled_camera, seen_share
from vla3d_ros.twin.model import CUBE_PREFIX
from vla3d_ros.twin.variation_draw import place_cameras

WIDTH = 320


@pytest.fixture
def looked_at(world, rig):
    """A laid table: bodies, cameras by name, their places in the world, true pictures and poses."""
    try:
        require_gl()
    except DependencyError as error:
        pytest.skip(str(error))
    trial = world.place(np.random.default_rng(5))
    bodies = [f"{CUBE_PREFIX}{name}" for name in trial.cubes]
    cameras = {camera.name: scaled_camera(camera, WIDTH) for camera in rig.cameras}
    renderer = TruthRenderer(world.model, list(cameras.values()), bodies)
    pictures, poses = renderer.render(world.render_state()), renderer.object_poses(world.render_state())
    renderer.close()
    return bodies, cameras, place_cameras(rig, list(cameras), world.frame_pose), pictures, poses


def test_depth_of_the_table_is_where_the_table_is(looked_at):
    _, cameras, places, pictures, _ = looked_at
    K, picture = cameras["head"].model.K, pictures["head"]
    rows, columns = np.mgrid[150:230:7, 5:315:7]
    points = unproject(np.stack([columns, rows], axis=-1).reshape(-1, 2).astype(float), K)
    points_world = places["head"].apply(points * picture.depth_m[rows.ravel(), columns.ravel()][:, None])
    assert np.median(np.abs(points_world[:, 2])) < 1e-3


def test_every_pixel_of_a_cube_lies_on_its_surface(looked_at, scene):
    bodies, cameras, places, pictures, poses = looked_at
    checked = 0
    for name, picture in pictures.items():
        for index in range(len(bodies)):
            rows, columns = np.nonzero(picture.objects == index + 1)
            if not len(rows):
                continue
            rays = unproject(np.stack([columns, rows], axis=1).astype(float), cameras[name].model.K)
            points_world = places[name].apply(rays * picture.depth_m[rows, columns][:, None])
            T_object_world = np.linalg.inv(poses[index])
            local = points_world @ T_object_world[:3, :3].T + T_object_world[:3, 3]
            assert np.abs(np.abs(local).max(axis=1) - scene.cubes.size_m / 2).max() < 2e-3
            checked += len(rows)
    assert checked > 300


def test_a_cube_with_nothing_before_it_is_seen_whole(looked_at, world):
    bodies, cameras, places, pictures, poses = looked_at
    for name in ("head", "side"):
        for index, body in enumerate(bodies):
            surface = object_surface(world.model, body, 32) @ poses[index][:3, :3].T + poses[index][:3, 3]
            share = seen_share(
                pictures[name].objects, index + 1, places[name].inverse().apply(surface), cameras[name].model.K
            )
            assert share > 0.85


def test_surface_points_lie_on_the_cube_corners_first(world, scene):
    world.place(np.random.default_rng(5))
    body = f"{CUBE_PREFIX}{next(iter(world.trial.cubes))}"
    points = object_surface(world.model, body, 200)
    half = scene.cubes.size_m / 2
    assert np.abs(points).max(axis=1) == pytest.approx(half)
    assert np.abs(points[:8]) == pytest.approx(half)
    assert np.array_equal(points[:50], object_surface(world.model, body, 200)[:50])
    with pytest.raises(ShapeError, match="at least 8"):
        object_surface(world.model, body, 7)


def test_a_scaled_camera_looks_along_the_same_rays(rig):
    camera = rig.camera("head")
    small = scaled_camera(camera, 64)
    corners = np.array([[-0.5, -0.5], [639.5, 479.5]])
    assert unproject(corners, camera.model.K) == pytest.approx(unproject((corners + 0.5) / 10 - 0.5, small.model.K))
    with pytest.raises(ConfigError, match="whole pixels"):
        scaled_camera(camera, 333)
