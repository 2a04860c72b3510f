"""A calibration written into a rig file changes what it must, and not a line more."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from vla3d_ros.camera.calibration_record import CalibrationRecord
from vla3d_ros.camera.rig import load_rig
from vla3d_ros.camera.rig_file import write_extrinsics, write_intrinsics
from vla3d_ros.datatypes import CameraModel
from vla3d_ros.errors import ConfigError
from vla3d_ros.geometry import Transform

SHIPPED = Path(__file__).parents[2] / "config" / "cameras" / "tabletop_twin.yaml"
RECORD = CalibrationRecord(
    date=date(2026, 3, 1),
    method="hand-eye eye-to-hand",
    board="charuco:8x6:30:22:DICT_5X5_100",
    views=21,
    robot="arm",
    error_px=0.8123456,
    error_mm=1.2,
    sigma_mm=0.4,
    sigma_deg=0.03,
)
POSE = Transform.from_rpy([1.2345678, -0.1, 0.7], [-2.0, 0.3, 1.1])


@pytest.fixture
def rig_file(tmp_path) -> Path:
    copy = tmp_path / "rig.yaml"
    copy.write_text(SHIPPED.read_text())
    return copy


def test_mounts_and_records_come_back_and_all_else_stays(rig_file) -> None:
    before = rig_file.read_text()
    write_extrinsics(rig_file, {"head": (POSE, RECORD), "wrist": (POSE, RECORD)}, rig_file)
    rig = load_rig(rig_file)
    for name in ("head", "wrist"):
        distance_m, angle_rad = rig.camera(name).mount.T_parent_camera.distance_to(POSE)
        assert distance_m < 1e-5 and angle_rad < 1e-5
        found = rig.camera(name).calibration["extrinsics"]
        assert (found.date, found.views, found.error_px, found.forced) == (RECORD.date, 21, 0.8123, False)
    comments = [
        [line for line in text.splitlines() if line.lstrip().startswith("#")] for text in (before, rig_file.read_text())
    ]
    assert comments[0] == comments[1] and comments[0]
    assert load_rig(rig_file).camera("side").mount.T_parent_camera.distance_to(
        load_rig(SHIPPED).camera("side").mount.T_parent_camera
    ) == pytest.approx((0.0, 0.0), abs=1e-12)
    assert rig_file.with_name("rig.yaml.bak").read_text() == before


def test_intrinsics_replace_k_and_keep_the_record_of_the_mount(rig_file) -> None:
    write_extrinsics(rig_file, {"side": (POSE, RECORD)}, rig_file)
    K = np.array([[601.25, 0, 322.125], [0, 603.5, 238.75], [0, 0, 1.0]])
    model = CameraModel(width_px=640, height_px=480, K=K, distortion=np.array([0.1, -0.2, 0.001, 0.002, 0.05]))
    write_intrinsics(rig_file, "side", model, RECORD, rig_file)
    side = load_rig(rig_file).camera("side")
    assert np.array_equal(side.model.K, K) and np.array_equal(side.model.distortion, model.distortion)
    assert set(side.calibration) == {"intrinsics", "extrinsics"}
    assert side.mount.T_parent_camera.distance_to(POSE)[0] < 1e-5


def test_unreadable_result_leaves_the_file_alone(rig_file) -> None:
    before = rig_file.read_text()
    K = np.array([[600.0, 0, 900.0], [0, 600.0, 240.0], [0, 0, 1.0]])
    with pytest.raises(ConfigError, match="principal point"):
        write_intrinsics(rig_file, "side", CameraModel(width_px=640, height_px=480, K=K), RECORD, rig_file)
    assert rig_file.read_text() == before
    assert sorted(file.name for file in rig_file.parent.iterdir()) == ["rig.yaml"]


def test_rig_in_flow_style_is_refused_with_what_is_expected(tmp_path) -> None:
    flow = tmp_path / "flow.yaml"
    entry = (
        "{source: uvc, width_px: 640, height_px: 480, K: [600, 0, 320, 0, 600, 240, 0, 0, 1], mount: {parent_frame: b, "
        "optical_frame: o, position_m: [0, 0, 0], xyzw: [0, 0, 0, 1]}}"
    )
    flow.write_text(f"anchor: a\nrate_hz: 30\nmax_skew_ms: 8\ncameras: {{a: {entry}}}\n")
    with pytest.raises(ConfigError, match="expected block style"):
        write_extrinsics(flow, {"a": (POSE, RECORD)}, flow)


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ("{extrinsics: {date: yesterday, method: m, board: b, views: 3}}", "expected 'date' as YYYY-MM-DD"),
        ("{extrinsics: {date: 2026-01-01, method: m, board: b, views: many}}", "expected 'views' as a whole number"),
        ("{extrinsics: {date: 2026-01-01}}", "calibration.extrinsics"),
        ("{guess: {date: 2026-01-01}}", "expected a mapping with keys among"),
    ],
)
def test_wrong_record_is_refused_when_the_rig_is_read(rig_file, section, complaint) -> None:
    text = rig_file.read_text().replace("  side:  ", f"  side:\n    calibration: {section}\n    #", 1)
    rig_file.write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        load_rig(rig_file)
