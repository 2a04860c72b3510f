"""Instances and completion points against the truth, and the pictures of them."""

import io

import numpy as np
import pytest
from PIL import Image

from vla3d_ros.datatypes import CameraModel, Observation, SpatialReport, View
from vla3d_ros.evaluation.evidence.overlay import overlay_sheet
from vla3d_ros.evaluation.evidence.solids import BALL, BOX, CYLINDER, Solid
from vla3d_ros.evaluation.evidence.spatial_scene import SpatialMoment
from vla3d_ros.evaluation.evidence.spatial_truth import KnownObject, SpatialCounts, count_moment, counts_from_json
from vla3d_ros.geometry import Transform

HALF = np.full(3, 0.02)
SOLIDS = [
    Solid(kind=BOX, size=np.array([0.02, 0.03, 0.01])),
    Solid(kind=CYLINDER, size=np.array([0.02, 0.03, 0.0])),
    Solid(kind=BALL, size=np.array([0.02, 0.0, 0.0])),
]


@pytest.mark.parametrize("solid", SOLIDS, ids=lambda solid: solid.kind)
def test_a_distance_is_that_to_the_nearest_point_of_the_surface(solid):
    generator = np.random.default_rng(3)
    points = generator.uniform(-0.06, 0.06, (40, 3))
    grid = np.stack(np.meshgrid(*[np.linspace(-0.04, 0.04, 81)] * 3), axis=-1).reshape(-1, 3)
    on = grid[np.abs(solid.distance(grid)) < 6e-4]
    nearest = np.linalg.norm(points[:, None] - on[None], axis=2).min(axis=1)
    assert np.abs(solid.distance(points)) == pytest.approx(nearest, abs=2e-3)


def test_inside_is_negative_and_a_box_is_as_deep_as_its_nearest_face():
    box, cylinder, ball = SOLIDS
    middle = np.zeros((1, 3))
    assert [float(solid.distance(middle)[0]) for solid in (box, cylinder, ball)] == pytest.approx([-0.01, -0.02, -0.02])
    assert box.distance(np.array([[0.05, 0.07, 0.0]]))[0] == pytest.approx(0.05)


def cube(name, number, x_m, seen=1.0, *, is_named=True):
    return KnownObject(
        name=name,
        number=number,
        is_named=is_named,
        T_base_object=Transform.from_rotation(np.eye(3), [x_m, 0.0, 1.0]),
        solid=Solid(kind=BOX, size=HALF),
        seen={"eye": seen},
    )


def view(shift_m=0.0):
    """A camera at the base's origin that looks along z, told to be shifted."""
    return View(
        camera="eye",
        rgb=np.zeros((60, 80, 3), np.uint8),
        model=CameraModel(width_px=80, height_px=60, K=np.array([[100.0, 0, 39.5], [0, 100.0, 29.5], [0, 0, 1]])),
        T_base_camera=Transform.from_rotation(np.eye(3), [shift_m, 0.0, 0.0]),
        stamp_ns=1,
    )


def report(instances, completion=()):
    points = np.array(instances, np.float64).reshape(-1, 3)
    return SpatialReport(
        instance_points_base=points,
        instance_scores=np.full(len(points), 0.5),
        completion_points_base=np.array(completion, np.float64).reshape(-1, 3),
    )


OBJECTS = [cube("cube_red", 1, 0.0), cube("cube_blue", 2, 0.2, is_named=False), cube("hidden", 3, -0.3, seen=0.1)]


def numbers():
    picture = np.zeros((60, 80), np.uint8)
    picture[28:32, 38:42], picture[28:32, 58:62] = 1, 2
    return {"eye": picture}


def counted(given, told=None):
    return count_moment(given, OBJECTS, [told or view()], numbers())


def test_objects_are_found_within_two_centimetres_and_hidden_ones_are_not_asked_for():
    found = counted(report([[0.015, 0.0, 1.0], [0.3, 0.0, 1.0]]))
    assert (found.visible, found.found, found.named, found.named_found) == (2, 1, 1, 1)
    assert (found.instances, found.instances_on) == (2, 1)
    assert counted(report([[0.021, 0.0, 1.0]])).found == 0


def test_completion_points_are_inside_near_or_elsewhere():
    found = counted(report([], [[0.0, 0.0, 1.0], [0.019, 0.019, 1.019], [0.024, 0.0, 1.0], [0.1, 0.0, 1.0]]))
    assert (found.completion, found.completion_inside, found.completion_near) == (4, 2, 3)


def test_an_instance_is_on_the_right_pixels_only_where_the_policy_was_told_the_true_camera():
    given = report([[0.0, 0.0, 1.0], [0.2, 0.0, 1.0]])
    assert (counted(given).projected, counted(given).projected_right) == (2, 2)
    stale = counted(given, view(shift_m=0.05))
    assert (stale.projected, stale.projected_right) == (2, 0)


def test_believing_nothing_finds_nothing():
    found = counted(report([]))
    assert (found.found, found.instances, found.completion, found.projected) == (0, 0, 0, 0)
    assert found.visible == 2


def test_counts_add_up_and_survive_json():
    one = counted(report([[0.0, 0.0, 1.0]], [[0.0, 0.0, 1.0]]))
    assert (one + SpatialCounts()) == one
    assert (one + one).found == 2 * one.found
    assert counts_from_json(one.to_json()) == one


def moment(given, scene=0):
    observation = Observation(stamp_ns=1, views=(view(),), robot_states=(), instruction="do it")
    return SpatialMoment(
        scene=scene, at_s=0.5, observation=observation, report=given, objects=tuple(OBJECTS), numbers=numbers()
    )


def pixels(sheet, colour):
    picture = np.asarray(Image.open(io.BytesIO(sheet)).convert("RGB")).astype(int)
    return np.argwhere((np.abs(picture - np.array(colour)).sum(axis=2) < 60)[:-30, :])


def test_a_sheet_shows_points_where_they_project_green_inside_red_outside():
    given = report([], [[0.0, 0.0, 1.0], [0.1, 0.0, 1.0]])
    sheet = overlay_sheet([("nominal", moment(given))], ["eye"])
    scale, bar_px = 400 / 80, 26
    for colour, x_px in (((0, 230, 90), 39.5), ((255, 60, 40), 49.5)):
        middle = pixels(sheet, colour).mean(axis=0)
        assert middle == pytest.approx([bar_px + 30 * scale, (x_px + 0.5) * scale], abs=3)


def test_a_view_that_is_missing_leaves_its_place_empty():
    sheet = overlay_sheet([("a", moment(report([]))), ("b", moment(report([]), 1))], ["eye", "wrist"])
    picture = np.asarray(Image.open(io.BytesIO(sheet)).convert("RGB"))
    assert picture.shape[1] == 2 * 400 + 4
    assert (picture[200, 600:780] == 225).all()
