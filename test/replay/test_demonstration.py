"""Logs are read with their faults, and what was found is said."""

import numpy as np
import pytest

from vla3d_ros.errors import RecordingError
from vla3d_ros.replay.demonstration import load_demonstration


def test_a_clean_log_is_used_completely(saved, arm, made_up_log):
    demonstration = load_demonstration(saved(made_up_log()), arm)
    assert demonstration.findings.rows_used == demonstration.findings.rows == 2000
    assert demonstration.findings.median_period_ms == pytest.approx(1.0, abs=1e-3)
    assert demonstration.findings.outside_limits == ()


@pytest.mark.parametrize("link", ["fr3_hand_tcp", "fr3_link8"])
def test_the_logged_end_effector_frame_is_found(saved, arm, kinematics, made_up_log, link):
    match = load_demonstration(saved(made_up_log(link=link)), arm).match_frame(kinematics)
    assert match.link == link
    assert match.rms_mm < 1e-6 and match.rms_deg < 1e-6


def test_broken_rows_are_left_out_and_counted(saved, arm, made_up_log):
    rows, joints = made_up_log(), len(arm.joint_names)
    rows[100, 3] = np.nan
    rows[200:203, 0] = rows[199, 0]
    rows[300, 0] = rows[250, 0]
    rows = np.delete(rows, slice(400, 420), axis=0)
    rows[500:510, 1 : 1 + 2 * joints] = rows[499, 1 : 1 + 2 * joints]
    findings = load_demonstration(saved(rows), arm).findings
    assert (findings.not_finite, findings.not_increasing, findings.repeated_values) == (1, 4, 10)
    assert findings.gaps == 2 and findings.longest_gap_ms == pytest.approx(21.0, abs=0.1)
    assert any("left out: 1 rows not finite, 4" in sentence for sentence in findings.sentences())


def test_values_outside_the_limits_are_named_by_joint(saved, arm, made_up_log):
    rows = made_up_log()
    rows[:5, 2] = 2.0
    rows[:7, 1 + len(arm.joint_names)] = 3.0
    outside = load_demonstration(saved(rows), arm).findings.outside_limits
    assert any("fr3_joint2: 5 rows outside" in sentence for sentence in outside)
    assert any("fr3_joint1: 7 rows above the velocity limit, up to 3.000" in sentence for sentence in outside)


@pytest.mark.parametrize(
    ("content", "words"),
    [(np.zeros((50, 41)), r"\(50, 41\); expected float \(N, 42\)"), (np.full((50, 42), np.nan), "only 0 of 50 rows")],
)
def test_files_that_are_no_logs_are_refused_with_what_was_expected(saved, arm, content, words):
    with pytest.raises(RecordingError, match=words):
        load_demonstration(saved(content), arm)


def test_a_missing_file_is_named(tmp_path, arm):
    with pytest.raises(RecordingError, match=r"none\.npy can not be read"):
        load_demonstration(tmp_path / "none.npy", arm)
