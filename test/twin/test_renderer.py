"""What the cameras show is what their intrinsics and extrinsics say."""

from __future__ import annotations

import colorsys
from dataclasses import replace

import numpy as np
import pytest

from vla3d_ros.errors import ConfigError, DependencyError
from vla3d_ros.geometry import project
from vla3d_ros.twin import engine
from vla3d_ros.twin.model import build_model
from vla3d_ros.twin.placement import Placement, TrialScene
from vla3d_ros.twin.renderer import TwinRenderer
from vla3d_ros.twin.world import TwinWorld

RED = (0.85, 0.05, 0.05)
MARKER_M = 0.006


@pytest.fixture
def gl(world) -> None:
    try:
        engine.require_gl()
    except DependencyError as error:
        pytest.skip(str(error))


@pytest.fixture
def marked(gl, embodiment, rig, scene):
    """A world whose only cube is a small red marker, and its renderer."""
    marker = replace(scene.cubes, size_m=MARKER_M, colours={"red": np.array(RED)})
    world = TwinWorld(embodiment, rig, replace(scene, cubes=marker))
    renderer = TwinRenderer(world.model, rig.cameras)
    yield world, renderer
    renderer.close()


def put_marker(world: TwinWorld, x_m: float, y_m: float) -> np.ndarray:
    at = Placement(x_m=x_m, y_m=y_m, yaw_rad=0.3)
    world.place_trial(TrialScene(instruction="", cube="red", pad="", cubes={"red": at}, pads={}))
    return np.array([x_m, y_m, MARKER_M / 2])


def red_centroid(image: np.ndarray) -> np.ndarray:
    red, green, blue = image.astype(int).transpose(2, 0, 1)
    rows, columns = np.nonzero((red > 2 * green + 20) & (red > 2 * blue + 20))
    assert len(rows) > 4, "the marker is not in view"
    return np.array([columns.mean(), rows.mean()])


def expected_px(world: TwinWorld, name: str, p_world: np.ndarray) -> np.ndarray:
    camera = world.rig.camera(name)
    T_world_camera = world.frame_pose(camera.mount.parent_frame) @ camera.mount.T_parent_camera
    return project(T_world_camera.inverse().apply(p_world), camera.model.K)


@pytest.mark.parametrize("place", [(0.36, -0.25), (0.58, -0.2), (0.45, 0.0), (0.59, 0.27), (0.36, 0.26)])
def test_fixed_cameras_show_a_point_where_intrinsics_and_extrinsics_put_it(marked, place) -> None:
    world, renderer = marked
    p_world = put_marker(world, *place)
    images = renderer.render(world.render_state())
    for name in ("head", "side"):
        error_px = np.abs(red_centroid(images[name]) - expected_px(world, name, p_world))
        assert error_px.max() < 0.5, f"{name}: {error_px} px"


@pytest.mark.parametrize("pose", [(0.45, 0.1, 0.25, 0.0), (0.4, -0.15, 0.18, 0.9), (0.5, 0.0, 0.3, -1.2)])
def test_wrist_camera_shows_a_point_where_the_arm_says_it_is(marked, operator, pose) -> None:
    world, renderer = marked
    mover = type(operator)(world)
    x_m, y_m, _, yaw_rad = pose
    mover.drive(mover.reach(mover.above(*pose)), 1.0)
    p_world = put_marker(world, x_m + 0.05 * np.cos(yaw_rad), y_m + 0.05 * np.sin(yaw_rad))
    image = renderer.render(world.render_state())["wrist"]
    error_px = np.abs(red_centroid(image) - expected_px(world, "wrist", p_world))
    assert error_px.max() < 0.5, f"{error_px} px"


def test_whole_object_region_is_in_view_of_both_fixed_cameras(world, rig, scene) -> None:
    trial, half_m = scene.trial, np.hypot(*scene.pads.size_m[:2]) / 2
    xs = trial.region_x_m + np.array([-half_m, half_m])
    ys = trial.region_y_m + np.array([-half_m, half_m])
    corners = np.array([[x, y, z] for x in xs for y in ys for z in (0.0, scene.cubes.size_m)])
    for name in ("head", "side"):
        model = rig.camera(name).model
        pixels = expected_px(world, name, corners)
        inside = (pixels > 5).all(axis=1) & (pixels < [model.width_px - 6, model.height_px - 6]).all(axis=1)
        assert inside.all(), f"{name}: {pixels[~inside]}"


def test_images_keep_their_hue_and_show_different_faces(gl, world, rig, scene) -> None:
    trial = world.place(np.random.default_rng(3))
    renderer = TwinRenderer(world.model, rig.cameras)
    image = renderer.render(world.render_state())["head"]
    renderer.close()
    assert (image.shape, image.dtype) == ((480, 640, 3), np.uint8)
    for colour, at in trial.cubes.items():
        p_top = np.array([at.x_m, at.y_m, scene.cubes.size_m])
        p_front = np.array([at.x_m, at.y_m, scene.cubes.size_m / 4])
        wanted = colorsys.rgb_to_hsv(*scene.cubes.colours[colour])
        values = []
        for p in (p_top, p_front):
            column, row = expected_px(world, "head", p).round().astype(int)
            hue, saturation, value = colorsys.rgb_to_hsv(*(image[row, column] / 255.0))
            assert abs((hue - wanted[0] + 0.5) % 1 - 0.5) < 0.03 and saturation > 0.7
            values.append(value)
        assert values[0] > values[1] + 0.05, "faces of a cube should differ in brightness"


def test_parked_objects_and_nothing_else_coloured_are_visible_on_an_empty_table(gl, world, rig) -> None:
    renderer = TwinRenderer(world.model, rig.cameras)
    for name, image in renderer.render(world.render_state()).items():
        spread = image.max(axis=2).astype(int) - image.min(axis=2)
        assert spread.max() < 40, f"{name} shows something colourful"
    renderer.close()


def test_intrinsics_which_can_not_be_rendered_are_refused_with_those_that_can(embodiment, rig, scene, world) -> None:
    camera = rig.cameras[0]
    K = camera.model.K.copy()
    K[0, 2] += 3.0
    wrong = replace(camera, model=replace(camera.model, K=K))
    lost = replace(rig.cameras[1], mount=replace(rig.cameras[1].mount, parent_frame="tool9"))
    with pytest.raises(ConfigError) as caught:
        build_model(embodiment, replace(rig, cameras=(wrong, lost)), scene, physics_hz=500.0)
    text = str(caught.value)
    assert "centred axis" in text and "319.5" in text and "no frame 'tool9'" in text


def test_missing_gl_says_what_to_install(world, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "disable")
    with pytest.raises(DependencyError, match=r"apt-get install .*libegl1"):
        TwinRenderer(world.model, world.rig.cameras)


def test_choice_of_gl_prefers_egl_then_osmesa_then_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    present: set[str] = set()
    monkeypatch.setattr(engine, "_loads", lambda library: library in present)
    monkeypatch.setattr(engine, "_egl_devices", lambda: int("libEGL.so.1" in present))
    assert engine._available_gl() is None
    present |= {"libEGL.so.1"}
    assert engine._available_gl() is None, "EGL without libGL can not draw"
    present |= {"libOSMesa.so.8"}
    assert engine._available_gl() == "osmesa"
    present |= {"libGL.so.1"}
    assert engine._available_gl() == "egl"
