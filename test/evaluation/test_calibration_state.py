"""Which calibration was in force: kept with every trial, as it was then."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import yaml

from vla3d_ros.errors import RecordingError
from vla3d_ros.evaluation.calibration_state import CalibrationState, CalibrationWatch
from vla3d_ros.evaluation.study_calibration import calibration_text, camera_text
from vla3d_ros.resources import config_dir

TWIN_RIG = config_dir() / "cameras" / "tabletop_twin.yaml"


def calibrated_rig(folder: Path, **changes) -> Path:
    """Write the twin's rig as one of real cameras, of which `head` was calibrated in May."""
    rig = yaml.safe_load(TWIN_RIG.read_text(encoding="utf-8"))
    record = {
        "date": date(2026, 5, 4),
        "method": "park",
        "board": "charuco",
        "views": 18,
        "error_px": 0.31,
        "error_mm": 1.2,
    }
    for name, camera in rig["cameras"].items():
        camera["source"] = "realsense"
        if name == "head":
            camera["calibration"] = {"extrinsics": record | changes}
    path = folder / "rig.yaml"
    path.write_text(yaml.safe_dump(rig), encoding="utf-8")
    return path


def test_cameras_that_the_twin_renders_are_exact():
    state = CalibrationWatch(TWIN_RIG, lambda: date(2026, 5, 14)).state()
    assert state.is_exact and not state.is_stale and state.problems == ()
    assert state.file == "tabletop_twin.yaml" and len(state.digest) == 12
    assert calibration_text(state) == "exact, in the twin"


def test_age_and_residual_are_those_of_the_day_of_the_trial(tmp_path):
    today = [date(2026, 5, 14)]
    watch = CalibrationWatch(calibrated_rig(tmp_path), lambda: today[0])
    state = watch.state()
    assert state.age_days == 10 and state.error_px == 0.31 and not state.is_stale
    assert calibration_text(state) == "0.31 px, 10 days old"
    assert state.problems == ("no record: head, side, wrist",)
    made = next(camera for camera in state.cameras if camera.method)
    assert camera_text(made) == "park · 0.31 px · 1.20 mm · 2026-05-04, 10 days old"
    today[0] = date(2026, 8, 3)
    later = watch.state()
    assert later.is_stale and later.age_days == 91
    assert "older than 90 days: head" in later.problems


def test_a_forced_calibration_is_named(tmp_path):
    state = CalibrationWatch(calibrated_rig(tmp_path, forced=True), lambda: date(2026, 5, 14)).state()
    assert "worse than its threshold, forced: head" in state.problems


def test_a_file_that_is_edited_while_the_cameras_run_makes_the_trial_suspect(tmp_path):
    path = calibrated_rig(tmp_path)
    watch = CalibrationWatch(path, lambda: date(2026, 5, 14))
    digest = watch.state().digest
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    state = watch.state()
    assert state.is_file_changed and state.is_stale and state.digest == digest
    path.unlink()
    assert watch.state().is_file_changed


def test_it_comes_back_from_its_plain_form_and_unknown_fields_are_named(tmp_path):
    state = CalibrationWatch(calibrated_rig(tmp_path), lambda: date(2026, 5, 14)).state()
    plain = state.to_json()
    assert plain["is_stale"] is False and isinstance(plain["cameras"], list)
    assert CalibrationState.from_json(plain) == state
    with pytest.raises(RecordingError, match=r"unknown fields \['colour'\]"):
        CalibrationState.from_json(plain | {"colour": "red"})
