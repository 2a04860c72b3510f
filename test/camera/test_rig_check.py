"""The rig check finds a camera that was moved by a centimetre or a degree, and leaves one alone that was not."""

import importlib.util
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from vla3d_ros.camera.calibration_record import CalibrationRecord
from vla3d_ros.camera.outline import predict_outline
from vla3d_ros.camera.outline_fit import RobotFrame, fit_outline
from vla3d_ros.camera.rig import load_rig
from vla3d_ros.camera.rig_check import CameraEvidence, RigCheckLimits, Status, check_camera
from vla3d_ros.camera.rig_picture import FOUND, PREDICTED, draw_check
from vla3d_ros.camera.robot_shape import ShapeKind, load_shapes
from vla3d_ros.commands.twin_frames import nudged, twin_frames
from vla3d_ros.datatypes import CameraModel
from vla3d_ros.deployment import load_deployment
from vla3d_ros.errors import ConfigError, DependencyError
from vla3d_ros.geometry import Transform, exp_se3, project
from vla3d_ros.resources import config_dir

CAMERAS = ("head", "side", "wrist")
TODAY = date(2026, 6, 1)
LIMITS = RigCheckLimits()
URDF = '<robot name="r"><link name="l"><visual><geometry>{}</geometry></visual></link></robot>'
MOVES = [(f"{'xyz'[i % 3]}{'-+'[sign]}{'cm' if i < 3 else 'deg'}", i, sign) for i in range(6) for sign in (0, 1)]


@pytest.fixture(scope="module")
def deployment():
    return load_deployment("fr3_tabletop_twin", config_dir())


@pytest.fixture(scope="module")
def rig(deployment):
    return load_rig(deployment.rig_file)


@pytest.fixture(scope="module")
def shapes(deployment):
    return load_shapes(deployment.embodiment.urdf_path)


@pytest.fixture(scope="module")
def frames(deployment, rig):
    """Three arm poses; rendered once, with the cameras where the rig file says."""
    if importlib.util.find_spec("mujoco") is None:
        pytest.skip("the twin needs MuJoCo: pip install 'vla3d_ros[twin]'")
    try:
        return twin_frames(deployment.embodiment, rig, deployment.parameters, poses=3, seed=2)
    except DependencyError as error:
        pytest.skip(str(error))


def twist(axis: int, sign: int) -> Transform:
    """One centimetre along, or one degree about, an axis of the optical frame."""
    values = np.zeros(6)
    values[axis] = (-1, 1)[sign] * (0.01 if axis < 3 else np.radians(1.0))
    return Transform(exp_se3(values))


def check(spec, taken, shapes, **changes):
    evidence = CameraEvidence(
        frames=taken, rate_hz=changes.pop("rate_hz", None), reported=changes.pop("reported", None)
    )
    return check_camera(spec, evidence, shapes, expected_rate_hz=30.0, today=TODAY, limits=LIMITS)


def finding(result, name):
    return next(one for one in result.findings if one.check == name)


@pytest.mark.parametrize("camera", CAMERAS)
def test_camera_in_its_place_passes_with_a_fraction_of_a_pixel(camera, rig, frames, shapes) -> None:
    result = check(rig.camera(camera), frames[camera], shapes)
    assert result.status is Status.PASS, result.findings
    assert result.fit.error_px < 0.5 and result.fit.support > 0.8
    assert result.fit.shift_m < 0.002 and np.degrees(result.fit.turn_rad) < 0.2


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize(("axis", "sign"), [move[1:] for move in MOVES], ids=[move[0] for move in MOVES])
def test_camera_moved_by_a_centimetre_or_a_degree_is_found(camera, axis, sign, rig, frames, shapes) -> None:
    """The image stays and the rig file is wrong by the same motion, which is the same to the check."""
    spec = nudged(rig, camera, twist(axis, sign)).camera(camera)
    result = check(spec, frames[camera], shapes)
    assert finding(result, "reprojection").status is Status.FAIL, result.findings
    back_m, back_rad = result.fit.T_parent_camera_fitted.distance_to(rig.camera(camera).mount.T_parent_camera)
    assert back_m < 0.002 and np.degrees(back_rad) < 0.2, f"{1e3 * back_m:.1f} mm, {np.degrees(back_rad):.2f} deg"


def test_camera_moved_in_the_world_is_found_and_the_others_are_not_blamed(deployment, rig, frames, shapes) -> None:
    moved = nudged(rig, "side", twist(0, 1) @ twist(4, 0))
    seen = twin_frames(deployment.embodiment, moved, deployment.parameters, poses=2, seed=5)
    found = {name: check(rig.camera(name), seen[name], shapes).status for name in CAMERAS}
    assert found == {"head": Status.PASS, "side": Status.FAIL, "wrist": Status.PASS}


def test_camera_moved_far_is_found_although_its_place_is_not(rig, frames, shapes) -> None:
    far = Transform.from_rpy([0.25, 0.1, 0.0], [0.0, 0.0, 0.2])
    result = check(nudged(rig, "head", far).camera("head"), frames["head"], shapes)
    assert finding(result, "reprojection").status is Status.FAIL, result.findings


def test_robot_out_of_view_is_said_and_is_no_pass(rig, frames, shapes) -> None:
    away = Transform.from_rpy([0.0, 0.0, 0.0], [0.0, np.pi, 0.0])
    result = check(nudged(rig, "head", away).camera("head"), frames["head"], shapes)
    assert finding(result, "reprojection").status is Status.WARN
    assert "the robot is not in view" in finding(result, "reprojection").message


def test_image_without_robot_fails(rig, frames, shapes) -> None:
    empty = [replace(frame, rgb=np.full_like(frame.rgb, 150)) for frame in frames["side"]]
    assert check(rig.camera("side"), empty, shapes).status is Status.FAIL


@pytest.mark.parametrize(("rate_hz", "status"), [(29.7, Status.PASS), (20.0, Status.WARN), (8.0, Status.FAIL)])
def test_rate_is_compared_with_the_rig(rate_hz, status, rig, frames, shapes) -> None:
    result = check(rig.camera("wrist"), frames["wrist"][:1], shapes, rate_hz=rate_hz)
    assert finding(result, "alive").status is status


def test_silent_camera_fails_without_an_exception(rig, shapes) -> None:
    result = check(rig.camera("head"), [], shapes, rate_hz=0.0)
    assert result.status is Status.FAIL and result.fit is None
    assert "no image came" in finding(result, "alive").message


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ({"K": [[660.0, 0, 319.5], [0, 660.0, 239.5], [0, 0, 1]]}, "differ by 12.5 px at the image's corners"),
        (
            {"width_px": 1280, "height_px": 720, "K": [[640.0, 0, 639.5], [0, 640.0, 359.5], [0, 0, 1]]},
            "sends 1280x720",
        ),
    ],
)
def test_published_intrinsics_must_be_those_of_the_rig_file(model, text, rig, frames, shapes) -> None:
    given = {"width_px": 640, "height_px": 480, **model, "K": np.array(model["K"])}
    result = check(rig.camera("head"), frames["head"][:1], shapes, reported=CameraModel(**given))
    assert finding(result, "intrinsics").status is Status.FAIL and text in finding(result, "intrinsics").message


@pytest.mark.parametrize(
    "K", [[[4000.0, 0, 320], [0, 4000.0, 240], [0, 0, 1]], [[600.0, 0, 320], [0, 450.0, 240], [0, 0, 1]]]
)
def test_implausible_intrinsics_fail(K, rig, shapes) -> None:
    spec = rig.camera("head")
    spec = replace(spec, model=replace(spec.model, K=np.array(K)))
    assert finding(check(spec, [], shapes), "intrinsics").status is Status.FAIL


def record(**changes) -> dict[str, CalibrationRecord]:
    values = {"date": date(2026, 5, 20), "method": "hand-eye", "board": "b", "views": 20, **changes}
    return {"extrinsics": CalibrationRecord(**values)}


@pytest.mark.parametrize(
    ("calibration", "is_seen", "status", "text"),
    [
        (record(), False, Status.PASS, "12 days old"),
        (record(date=date(2025, 5, 20)), False, Status.WARN, "allowed 90 days"),
        (record(date=date(2025, 5, 20)), True, Status.PASS, "confirmed by today's images"),
        ({}, False, Status.WARN, "no record"),
        ({}, True, Status.PASS, "confirmed by today's images"),
        (record(forced=True), True, Status.WARN, "forced"),
    ],
)
def test_calibration_is_recent_or_confirmed(calibration, is_seen, status, text, rig, frames, shapes) -> None:
    spec = replace(rig.camera("side"), source="uvc", calibration=calibration)
    result = check(spec, frames["side"] if is_seen else [], shapes)
    assert finding(result, "calibration").status is status
    assert text in finding(result, "calibration").message


def test_twin_camera_is_exempt_and_says_so(rig, shapes) -> None:
    assert "exempt" in finding(check(rig.camera("side"), [], shapes), "calibration").message


def test_outline_of_a_sphere_is_where_its_tangent_rays_are(rig, shapes, tmp_path) -> None:
    urdf = tmp_path / "ball.urdf"
    urdf.write_text(
        '<robot name="b"><link name="l"><visual><geometry><sphere radius="0.1"/></geometry></visual></link></robot>'
    )
    ball = load_shapes(urdf)
    assert [shape.kind for shape in ball] == [ShapeKind.SPHERE]
    spec = rig.camera("head")
    place = spec.mount.T_parent_camera @ Transform.from_rotation(np.eye(3), [0.1, 0.05, 1.0])
    outline = predict_outline(ball, {"l": place}, spec.mount.T_parent_camera, spec.model)
    rays = np.column_stack([(outline.pixels - spec.model.K[:2, 2]) / spec.model.K[0, 0], np.ones(len(outline.pixels))])
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    miss_m = np.linalg.norm(np.cross(rays, [0.1, 0.05, 1.0]), axis=1)
    assert len(rays) > 50 and np.abs(miss_m - 0.1).max() < 5e-4
    centre = project(np.array([0.1, 0.05, 1.0]), spec.model.K)
    assert (np.einsum("si,si->s", outline.normals, outline.pixels - centre) > 0).all()


def test_robot_drawn_by_meshes_only_is_refused(tmp_path) -> None:
    urdf = tmp_path / "mesh.urdf"
    urdf.write_text(
        '<robot name="m"><link name="l"><visual><geometry><mesh filename="a.stl"/></geometry></visual></link></robot>'
    )
    with pytest.raises(ConfigError, match="no box, cylinder or sphere"):
        load_shapes(urdf)


def test_fit_does_not_depend_on_clutter_over_the_robot(rig, frames, shapes) -> None:
    """A saturated sheet hides a fifth of the image."""
    hidden = []
    for frame in frames["side"]:
        rgb = frame.rgb.copy()
        rgb[180:300, 180:380] = (200, 30, 30)
        hidden.append(RobotFrame(rgb=rgb, Ts_base_link=frame.Ts_base_link, T_base_parent=frame.T_base_parent))
    spec = rig.camera("side")
    fit = fit_outline(hidden, shapes, spec.model, spec.mount.T_parent_camera)
    assert fit.error_px < 1.0 and fit.support < 0.95


def test_picture_shows_the_outline_the_axes_and_the_verdict(rig, frames, shapes) -> None:
    spec = nudged(rig, "side", twist(0, 1)).camera("side")
    result = check(spec, frames["side"], shapes)
    picture = draw_check(
        frames["side"][0], shapes, spec.model, spec.mount.T_parent_camera, result, ["fr3_link0", "fr3_hand_tcp"]
    )
    assert picture.shape[1] == 1280 and picture.shape[0] > 960 and picture.dtype == np.uint8
    for colour in (PREDICTED, FOUND):
        assert (np.abs(picture[:960].astype(int) - colour).max(axis=2) < 12).sum() > 300
