"""Which episodes become part of a dataset, and why others do not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'vla3d_ros[lerobot]'")
pytest.importorskip("av", reason="PyAV is not installed: pip install 'vla3d_ros[lerobot]'")

from vla3d_ros.cli import main

SHARED = Path(__file__).parents[4] / "shared" / "data"


def sources(out):
    return [json.loads(line)["source"] for line in (out / "meta" / "vla3d_episodes.jsonl").read_text().splitlines()]


def outcomes(out):
    return [json.loads(line)["outcome"] for line in (out / "meta" / "vla3d_episodes.jsonl").read_text().splitlines()]


def refusal(capsys, out, *arguments):
    assert main(["export", "lerobot", "--out", str(out), *map(str, arguments)]) == 2
    assert not out.exists()
    return " ".join(capsys.readouterr().err.split())


@pytest.fixture
def judged(recorded, tmp_path):
    """Make one short episode of every outcome."""
    for outcome in ("success", "failure", "unjudged", "interrupted"):
        recorded(outcome, outcome=outcome, seconds=0.5, cameras=("head",))
    (tmp_path / "bags" / "discarded").mkdir()
    recorded("discarded/one", outcome="discarded", seconds=0.5, cameras=("head",))
    return tmp_path / "bags"


def test_only_successes_are_exported_unless_asked(tmp_path, judged, capsys):
    assert main(["export", "lerobot", str(judged), "--out", str(tmp_path / "out")]) == 0
    assert sources(tmp_path / "out") == ["success"]
    assert "--include-failures" in capsys.readouterr().out


def test_failures_and_unjudged_ones_are_exported_when_asked_and_marked(tmp_path, judged):
    more = ["--include-failures", "--include-unjudged", "--format", "v2.1"]
    assert main(["export", "lerobot", str(judged), "--out", str(tmp_path / "out"), *more]) == 0
    assert outcomes(tmp_path / "out") == ["failure", "interrupted", "success", "unjudged"]
    rows = [json.loads(line) for line in (tmp_path / "out" / "meta" / "episodes.jsonl").read_text().splitlines()]
    assert [row["success"] for row in rows] == [False, False, True, False]


def test_discarded_ones_are_never_exported(tmp_path, judged, capsys):
    bag = judged / "discarded" / "one"
    told = refusal(capsys, tmp_path / "out", bag, "--include-failures", "--include-unjudged")
    assert "no episode is left" in told


def test_missing_joints_are_named_and_not_filled_with_zeros(tmp_path, recorded, capsys):
    path, _ = recorded(without={"fr3_joint2", "fr3_joint5"})
    told = refusal(capsys, tmp_path / "out", path)
    assert "arm 'fr3': no states of joints ['fr3_joint2', 'fr3_joint5']" in told


@pytest.mark.parametrize(
    ("what", "span", "said"),
    [
        ("head", (0.5, 0.8), "'/arm/camera/head/image_raw': no picture for 0.3"),
        ("joint_states", (0.5, 0.7), "no state of joint 'fr3_joint"),
        ("ee_state", (0.5, 0.7), "no state of the end effector for 0.2"),
        ("chunk", (0.3, 1.0), "arm 'fr3': no chunk for 0.7"),
    ],
)
def test_gap_is_refused_with_its_time_and_the_remedy(tmp_path, recorded, capsys, what, span, said):
    path, _ = recorded(silent={what: span})
    told = refusal(capsys, tmp_path / "out", path)
    assert said in told
    assert "after the first frame" in told
    assert ("--max-silence" if what == "chunk" else "--max-gap") in told


def test_gap_within_the_bound_that_was_asked_for_is_exported(tmp_path, recorded):
    path, _ = recorded(silent={"head": (0.5, 0.8)})
    assert main(["export", "lerobot", str(path), "--out", str(tmp_path / "out"), "--max-gap", "0.4"]) == 0


def test_bad_ones_are_left_out_when_asked_and_shown(tmp_path, recorded, capsys):
    recorded("good", seconds=0.7)
    recorded("gappy", silent={"head": (0.5, 0.8)})
    assert main(["export", "lerobot", str(tmp_path / "bags"), "--out", str(tmp_path / "out"), "--skip-bad"]) == 0
    assert sources(tmp_path / "out") == ["good"]
    shown = " ".join(capsys.readouterr().out.split())
    assert "gappy" in shown
    assert "1 left out because they are bad" in shown


def test_every_reason_is_told_at_once(tmp_path, recorded, capsys):
    missing = {"policy/chunk", "camera/head/camera_info", "camera/wrist/extrinsics", "ee_state"}
    told = refusal(capsys, tmp_path / "out", recorded(without=missing)[0], "--cameras", "head", "wrist", "side")
    for reason in ("no commands", "no camera_info of cameras ['head']", "no extrinsics of cameras ['wrist']"):
        assert reason in told
    assert "no end-effector states" in told
    assert "no camera 'side'; available: ['head', 'wrist']" in told


def test_episode_without_instruction_needs_a_task(tmp_path, recorded, capsys):
    path, _ = recorded(instruction="", seconds=0.7)
    assert "--task" in refusal(capsys, tmp_path / "out", path)
    assert main(["export", "lerobot", str(path), "--out", str(tmp_path / "out"), "--task", "wave"]) == 0
    assert "wave" in capsys.readouterr().out


def test_depth_that_is_not_there_is_refused(tmp_path, recorded, capsys):
    assert "leave off --depth" in refusal(capsys, tmp_path / "out", recorded()[0], "--depth")


def test_episodes_with_other_cameras_do_not_fit(tmp_path, recorded, capsys):
    recorded("a", seconds=0.7)
    recorded("b", seconds=0.7, cameras=("head",))
    told = refusal(capsys, tmp_path / "out", tmp_path / "bags")
    assert "differs from" in told
    assert "observation.images.wrist" in told
    assert main(["export", "lerobot", str(tmp_path / "bags"), "--out", str(tmp_path / "out"), "--cameras", "head"]) == 0


def test_nothing_is_written_over_an_existing_folder(tmp_path, recorded, capsys):
    (tmp_path / "out").mkdir()
    assert main(["export", "lerobot", str(recorded(seconds=0.7)[0]), "--out", str(tmp_path / "out")]) == 2
    assert "exists already" in " ".join(capsys.readouterr().err.split())
    assert list((tmp_path / "out").iterdir()) == []


def test_calibration_that_changes_on_the_way_is_refused(tmp_path, recorded, capsys):
    told = refusal(capsys, tmp_path / "out", recorded(recalibrated_at_s=0.6)[0])
    assert "the mount on '/arm/camera/wrist/extrinsics' changes during the recording" in told
    assert "head" not in told.replace("--cameras", "")


def test_steps_no_arm_can_make_are_refused(tmp_path, recorded, capsys):
    told = refusal(capsys, tmp_path / "out", recorded(jump_at_s=0.6)[0])
    assert "steps by 3.00 rad" in told
    assert "can not become an episode" in told


def test_nothing_that_looks_whole_is_left_of_a_bag_that_breaks_off(tmp_path, recorded, capsys):
    bag, _ = recorded(small_picture_at_s=0.6)
    told = refusal(capsys, tmp_path / "out", bag)
    assert "changes from (32, 256, 3) to (16, 256, 3)" in told


def test_bag_of_another_recorder_is_refused_with_what_it_holds(tmp_path, ros, capsys):
    from vla3d_ros.recording import BagWriter, offered_qos

    with BagWriter(tmp_path / "foreign") as writer:
        writer.add_topic("/joint_states", "sensor_msgs/msg/JointState", offered_qos())
        for tick in range(10):
            writer.write("/joint_states", tick, ros.joint_state(tick + 1, ["a"], [0.0], []))
    told = refusal(capsys, tmp_path / "out", tmp_path / "foreign", "--include-unjudged")
    assert "does not say which robot" in told
    told = refusal(capsys, tmp_path / "out", tmp_path / "foreign", "--include-unjudged", "--robot", "fr3")
    for reason in ("no end-effector states", "no camera images", "no commands", "sensor_msgs/msg/JointState"):
        assert reason in told


@pytest.mark.skipif(not SHARED.is_dir(), reason="recordings made by others are not on this machine (../shared/data)")
def test_real_foreign_bag_is_refused_with_reasons(tmp_path, capsys):
    bag = SHARED / "ros2_arm_bags" / "ros2bag_servo_serial_log"
    assert "no commands" in refusal(capsys, tmp_path / "out", bag, "--include-unjudged", "--robot", "fr3")
