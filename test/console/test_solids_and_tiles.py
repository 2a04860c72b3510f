"""The robot's triangles enclose what its URDF says, and overlays lie where the camera sees them."""

from math import pi

import numpy as np
import pytest

from vla3d_ros.camera.robot_shape import RobotShape, ShapeKind
from vla3d_ros.console.solids import box_edges, link_meshes
from vla3d_ros.console.tiles import Overlay, draw_tile, encode_jpeg
from vla3d_ros.datatypes import CameraModel, SpatialReport
from vla3d_ros.geometry import Transform

K = np.array([[100.0, 0.0, 49.5], [0.0, 100.0, 39.5], [0.0, 0.0, 1.0]])


def shape(kind, size_m, link="hand", p=(0.0, 0.0, 0.0)):
    return RobotShape(link=link, kind=kind, size_m=size_m, T_link_shape=Transform.from_rpy(p, (0.3, -0.2, 0.5)))


def volume(mesh):
    """Signed volume by the divergence theorem: positive only if all faces look outwards."""
    a, b, c = (mesh.vertices[mesh.faces[:, corner]] for corner in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


@pytest.mark.parametrize(
    ("kind", "size_m", "expected"),
    [
        (ShapeKind.BOX, (0.1, 0.2, 0.3), 0.1 * 0.2 * 0.3),
        (ShapeKind.CYLINDER, (0.05, 0.2), pi * 0.05**2 * 0.2),
        (ShapeKind.SPHERE, (0.07,), 4 / 3 * pi * 0.07**3),
    ],
)
def test_a_mesh_has_the_volume_of_its_solid_with_faces_outwards(kind, size_m, expected):
    (mesh,) = link_meshes([shape(kind, size_m, p=(0.4, -0.1, 0.2))])
    assert volume(mesh) == pytest.approx(expected, rel=0.03)
    centre = (mesh.vertices.max(axis=0) + mesh.vertices.min(axis=0)) / 2
    assert centre == pytest.approx([0.4, -0.1, 0.2], abs=2e-3)


def test_solids_of_one_link_become_one_mesh():
    shapes = [shape(ShapeKind.BOX, (0.1, 0.1, 0.1)), shape(ShapeKind.SPHERE, (0.1,), link="arm")]
    meshes = link_meshes([*shapes, shape(ShapeKind.BOX, (0.1, 0.1, 0.1), p=(1.0, 0.0, 0.0))])
    assert [mesh.link for mesh in meshes] == ["hand", "arm"]
    assert volume(meshes[0]) == pytest.approx(0.002)
    assert meshes[0].faces.max() == len(meshes[0].vertices) - 1


def test_a_box_has_twelve_edges_along_its_axes():
    edges = box_edges(np.array([0.0, -1.0, 0.0]), np.array([1.0, 1.0, 3.0]))
    lengths = np.abs(edges[:, 1] - edges[:, 0])
    assert len(edges) == 12
    assert (np.count_nonzero(lengths, axis=1) == 1).all()
    assert sorted(lengths.sum(axis=1)) == [1.0] * 4 + [2.0] * 4 + [3.0] * 4


def test_a_point_is_drawn_where_the_camera_sees_it_and_nothing_behind_the_camera():
    model = CameraModel(width_px=100, height_px=80, K=K)
    T_base_camera = Transform.from_rpy((0.0, 0.0, 1.0), (pi, 0.0, 0.0))  # looks down
    at = T_base_camera.apply(np.array([[0.2, 0.1, 0.8]]))
    behind = T_base_camera.apply(np.array([[0.0, 0.0, -0.5]]))
    report = SpatialReport(
        instance_points_base=np.concatenate([at, behind]),
        instance_scores=np.array([1.0, 1.0]),
        completion_points_base=np.zeros((0, 3)),
    )
    tile = draw_tile(np.zeros((80, 100, 3), np.uint8), model, T_base_camera, Overlay(spatial=report))
    drawn = np.argwhere(tile.sum(axis=2) > 0)
    assert drawn.mean(axis=0)[::-1] == pytest.approx([49.5 + 25.0, 39.5 + 12.5], abs=0.6)


def test_a_plan_is_drawn_into_a_small_copy_and_the_image_stays_as_it_was():
    model = CameraModel(width_px=800, height_px=640, K=8 * K)
    rgb = np.zeros((640, 800, 3), np.uint8)
    rgb.setflags(write=False)
    plan = np.array([[-0.2, 0.0, 1.0], [0.2, 0.0, 1.0]])
    tile = draw_tile(rgb, model, Transform.identity(), Overlay(plans=[plan], paths=[np.zeros((0, 3))]))
    assert tile.shape[1] == 400 and not rgb.any()
    rows = np.unique(np.argwhere(tile.any(axis=2))[:, 0])
    assert abs(rows.mean() - (8 * 39.5 + 3.5) / 2) < 2


def test_without_a_pose_nothing_is_drawn_and_a_tile_is_a_jpeg():
    model = CameraModel(width_px=100, height_px=80, K=K)
    rgb = np.full((80, 100, 3), 90, np.uint8)
    overlay = Overlay(plans=[np.array([[0.0, 0.0, 1.0], [0.1, 0.0, 1.0]])])
    tile = draw_tile(rgb, model, None, overlay)
    assert (tile == 90).all()
    assert encode_jpeg(tile)[:2] == b"\xff\xd8"
