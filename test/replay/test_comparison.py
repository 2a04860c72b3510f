"""Differences in millimetres, degrees and millimetres of opening; and what is known to have caused them, by name."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vla3d_ros.datatypes import CameraModel, CameraMount
from vla3d_ros.errors import ConfigError, RecordingError
from vla3d_ros.geometry import Transform
from vla3d_ros.replay.chunk_judge import Judgement
from vla3d_ros.replay.chunk_record import ArmSteps, ChunkRecord
from vla3d_ros.replay.comparison import compare
from vla3d_ros.replay.fingerprint import Fingerprint, camera_fingerprints, policy_fingerprint
from vla3d_ros.replay.golden import read_golden, write_golden
from vla3d_ros.replay.offline import Replay, ReplayedChunk
from vla3d_ros.replay.verdict import ReplayLimits

STEPS = 5


def record(stamp_ns, shift_m=0.0, turn_deg=0.0, opening_m=0.04, steps=STEPS):
    p = np.tile([0.1, 0.2, 0.3], (steps, 1))
    p[:, 1] += shift_m * np.arange(1, steps + 1)
    xyzw = np.tile(Rotation.from_euler("z", turn_deg, degrees=True).as_quat(), (steps, 1))
    arm = ArmSteps(p_ee0_ee=p, xyzw=xyzw, opening_m=np.full(steps, opening_m))
    return ChunkRecord(stamp_ns=stamp_ns, dt_ns=33_000_000, arms={"left": arm})


def against(records, reference):
    return compare(records, {one.stamp_ns: one for one in reference}, "reference", {})


def fingerprint(cameras=None, policy=None):
    return Fingerprint(policy=policy or {"file a": "1"}, cameras=cameras or {}, bag="b", robot="r", bounds="g")


def cameras_at(x):
    model = CameraModel(width_px=640, height_px=480, K=np.diag([600.0, 600.0, 1.0]))
    mount = CameraMount(
        camera="head",
        parent_frame="base",
        optical_frame="o",
        T_parent_camera=Transform.from_rpy([x, 0.0, 0.7], [3.0, 0.0, 0.1]),
    )
    return camera_fingerprints({"head": model}, {"head": mount})


def replay_of(records):
    judgement = Judgement(kind="allow", reasons=(), dropped_steps=0)
    chunks = tuple(
        ReplayedChunk(record=one, judgement=judgement, observation="o", views=2, compute_ms=1.0) for one in records
    )
    return Replay(
        policy="p", chunks=chunks, unanswered={}, unseen=(), observations=len(chunks), lost_sets=0, wall_s=1.0,
        recorded_s=2.0,
    )  # fmt: skip


def test_equal_chunks_differ_by_exactly_nothing():
    found = against([record(1), record(2)], [record(1), record(2)])
    assert found.identical == 2
    assert [found.worst(q) for q in ("position", "rotation", "gripper")] == [0.0, 0.0, 0.0]
    assert not found.worst_moments(3)


def test_differences_are_in_mm_degrees_and_mm_of_opening_by_step():
    found = against([record(1, shift_m=0.001, turn_deg=2.0, opening_m=0.05)], [record(1)])
    np.testing.assert_allclose(found.differences[0].position_mm, np.arange(1.0, STEPS + 1))
    np.testing.assert_allclose(found.differences[0].rotation_deg, 2.0)
    np.testing.assert_allclose(found.differences[0].gripper_mm, 10.0)
    np.testing.assert_allclose(found.horizons("position")[2], np.arange(1.0, STEPS + 1))


def test_chunks_of_only_one_side_are_named_by_their_stamps():
    found = against([record(1), record(3)], [record(1), record(2)])
    assert (found.missing, found.extra) == ((2,), (3,))


def test_chunks_of_other_shape_are_not_compared():
    found = against([record(1, steps=4)], [record(1)])
    assert not found.differences
    assert "has steps by arm {'left': 4}; the reference has {'left': 5}" in found.incomparable[1]


def test_worst_moments_lie_apart():
    second = 1_000_000_000
    records = [record(stamp, shift_m=1e-4 * rank) for rank, stamp in enumerate((0, 1, 2 * second), start=1)]
    found = against(records, [record(stamp) for stamp in (0, 1, 2 * second)])
    assert [d.stamp_ns for d in found.worst_moments(3, apart_s=0.5)] == [2 * second, 1]


def test_a_camera_moved_by_5_mm_is_named_with_its_distance():
    texts = fingerprint(cameras_at(1.005)).differences(fingerprint(cameras_at(1.0)))
    assert texts == ["calibration of camera 'head': extrinsics moved by 5.000 mm and 0.0000 deg"]


def test_a_dropped_view_is_named():
    assert fingerprint({}).differences(fingerprint(cameras_at(1.0))) == ["view of camera 'head' is gone"]


def test_one_changed_weight_is_named_by_its_file(tmp_path):
    (tmp_path / "weights.onnx").write_bytes(bytes(100))
    (tmp_path / "manifest.yaml").write_text("name: tiny")
    before = policy_fingerprint({"flow_steps": 4}, tmp_path)
    (tmp_path / "weights.onnx").write_bytes(bytes(99) + b"\x01")
    after = policy_fingerprint({"flow_steps": 4}, tmp_path)
    assert fingerprint(policy=after).differences(fingerprint(policy=before)) == [
        "policy: file weights.onnx was changed"
    ]


def test_a_changed_setting_is_named_by_its_section():
    before, after = (policy_fingerprint({"fit": {"jump_m": x}, "arm": "a"}, None) for x in (0.012, 0.013))
    assert fingerprint(policy=after).differences(fingerprint(policy=before)) == ["policy: setting 'fit' was changed"]


def test_a_golden_file_gives_back_chunks_digests_and_fingerprint(tmp_path):
    records = [record(stamp, shift_m=1e-3 * stamp, turn_deg=stamp) for stamp in range(1, 4)]
    kept = fingerprint(cameras_at(1.0))
    write_golden(tmp_path / "golden.json", replay_of(records), kept)
    golden = read_golden(tmp_path / "golden.json")
    found = compare(records, golden.chunks, "golden", golden.digests)
    assert found.identical == 3 and found.worst("position") == 0.0
    assert golden.fingerprint.differences(kept) == [] and golden.views == {1: 2, 2: 2, 3: 2}
    moved = compare([replace(records[0], arms=record(1, shift_m=2e-3).arms)], golden.chunks, "golden", golden.digests)
    assert moved.identical == 0
    np.testing.assert_allclose(moved.differences[0].position_mm, np.arange(1.0, STEPS + 1), atol=1e-4)


def test_what_is_no_golden_file_is_refused(tmp_path):
    (tmp_path / "other.json").write_text(json.dumps({"format": "something"}))
    with pytest.raises(RecordingError, match="--record-golden"):
        read_golden(tmp_path / "other.json")


def test_limits_come_from_a_file_and_the_command_line_wins(tmp_path):
    (tmp_path / "limits.yaml").write_text("position_mm: 5.0\nrotation_deg: 2.0\n")
    limits = ReplayLimits.load(tmp_path / "limits.yaml", {"position_mm": 0.1, "gripper_mm": None})
    assert (limits.position_mm, limits.rotation_deg, limits.gripper_mm) == (0.1, 2.0, 1.0)


def test_wrong_limits_are_listed_all_at_once(tmp_path):
    (tmp_path / "limits.yaml").write_text("position: 5.0\nrotation_deg: -1\n")
    with pytest.raises(ConfigError, match="2 problems") as refused:
        ReplayLimits.load(tmp_path / "limits.yaml", {})
    assert "unknown limit 'position'" in str(refused.value) and "'rotation_deg' is -1" in str(refused.value)
