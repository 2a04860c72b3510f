from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.commands import bag as bag_command
from vla3d_ros.errors import RecordingError
from vla3d_ros.recording import BagWriter, offered_qos
from vla3d_ros.recording.bag_info import bag_info
from vla3d_ros.recording.inspection import Inspection, inspect
from vla3d_ros.recording.inspection_page import write_page
from vla3d_ros.recording.session_file import Session
from vla3d_ros.resources import config_dir

SHARED = Path(__file__).parents[3] / "shared" / "data"
IMAGE, JOINTS, INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/JointState", "sensor_msgs/msg/CameraInfo"
TF = "tf2_msgs/msg/TFMessage"
S = 10**9
PERIOD_NS = S // 30


class Recording:
    """Writes a bag of two cameras and one arm; tests break one thing each."""

    def __init__(self, path: Path, ros) -> None:
        self.path, self.ros, self.rng = path, ros, np.random.default_rng(0)
        self.skew_ns = 0
        self.pictures: dict[str, np.ndarray] = {}
        self.names = ["elbow", "wrist"]
        self.joint_stamp = lambda stamp: stamp
        self.q = lambda seconds: 0.3 * np.sin(3 * seconds)
        self.joint_end = 120

    def write(self) -> Path:
        ros = self.ros
        with BagWriter(self.path) as writer:
            for name in ("head", "side"):
                writer.add_topic(f"/arm/camera/{name}/image_raw", IMAGE, offered_qos(is_reliable=False))
                writer.add_topic(f"/arm/camera/{name}/camera_info", INFO, offered_qos(is_reliable=False))
            writer.add_topic("/arm/joint_states", JOINTS, offered_qos())
            writer.add_topic("/tf_static", TF, offered_qos(is_latched=True))
            for index in range(120):
                stamp = 5 * S + index * PERIOD_NS
                for name, shift_ns in (("head", 0), ("side", self.skew_ns)):
                    noise = self.rng.integers(60, 200, (48, 64, 3), dtype=np.uint8)
                    rgb = self.pictures.get(name, noise)
                    writer.write(f"/arm/camera/{name}/image_raw", stamp, ros.image(rgb, stamp - shift_ns))
                if index < self.joint_end:
                    q = [self.q(index / 30)] * len(self.names)
                    cdr = ros.joint_state(self.joint_stamp(stamp), self.names, q, [])
                    writer.write("/arm/joint_states", stamp, cdr)
        return self.path


@pytest.fixture
def recording(tmp_path, ros) -> Recording:
    return Recording(tmp_path / "bag", ros)


def problems(seen: Inspection) -> str:
    return " | ".join(f"{f.subject}: {f.sentence}" for f in seen.findings if f.is_problem)


def foreign_bags() -> list[Path]:
    found = [path for end in ("mcap", "db3") for path in sorted(SHARED.rglob(f"*.{end}"))]
    return found + sorted({path.parent for path in found})


def test_good_recording_is_clean(recording):
    seen = inspect(recording.write())
    assert problems(seen) == ""
    assert seen.is_clean
    assert [view.camera for view in seen.views] == ["head", "side"]
    assert [len(view.thumbnails) for view in seen.views] == [3, 3]
    assert seen.skews_ms.max() == 0.0
    assert seen.stale_share == 0.0
    assert seen.joints[0].idle_share < 0.2


def test_skew_between_cameras_is_measured_at_capture(recording):
    recording.skew_ns = 25_000_000 // 3
    assert np.median(inspect(recording.write()).skews_ms) == pytest.approx(25 / 3, abs=0.01)


def test_frozen_view_is_a_problem_only_while_something_moves(recording, tmp_path, ros):
    recording.pictures["side"] = recording.rng.integers(60, 200, (48, 64, 3), dtype=np.uint8)
    assert "side: frozen" in problems(inspect(recording.write()))
    still = Recording(tmp_path / "still", ros)
    still.pictures = dict.fromkeys(("head", "side"), recording.pictures["side"])
    still.q = lambda seconds: 0.5
    seen = inspect(still.write())
    assert problems(seen) == ""
    assert sum("while nothing moved" in finding.sentence for finding in seen.findings) == 2


@pytest.mark.parametrize(("level", "word"), [(0, "black"), (255, "over-exposed"), (120, "blurred")])
def test_view_that_shows_nothing_is_a_problem(recording, level, word):
    recording.pictures["head"] = np.full((48, 64, 3), level, np.uint8)
    assert f"head: 100% of the images looked at are {word}" in problems(inspect(recording.write()))


def test_joint_states_without_stamps_names_or_with_steps_are_problems(recording, tmp_path, ros):
    recording.joint_stamp = lambda stamp: 0
    assert "120 of 120 headers have stamp zero" in problems(inspect(recording.write()))
    nameless = Recording(tmp_path / "nameless", ros)
    nameless.names = []
    assert "120 of 120 rows have no joint names" in problems(inspect(nameless.write()))
    jump = Recording(tmp_path / "jump", ros)
    jump.q = lambda seconds: 0.0 if seconds < 2 else 3.0
    assert "2 steps of over 0.5 rad" in problems(inspect(jump.write()))


def test_joints_that_end_early_make_stale_rows(recording):
    recording.joint_end = 60
    seen = inspect(recording.write())
    assert "/arm/joint_states: ends 2.0 s before the bag does" in problems(seen)
    assert seen.stale_share == pytest.approx(57 / 120, abs=0.02)


def test_limits_are_those_of_the_robot(recording):
    robot = load_embodiment(config_dir() / "robots" / "ur5e.yaml")
    recording.names = list(robot.arms[0].joint_names)
    recording.q = lambda seconds: 1.0 + 6.0 * seconds / 4
    seen = inspect(recording.write(), robot)
    assert seen.robot == "ur5e"
    assert "beyond its limit" in problems(seen)


def test_session_tells_of_drops_and_of_a_forced_start(recording):
    bag = recording.write()
    Session(
        episode="bag", is_forced=True, problems_at_start=["camera 'head': black"], result={"dropped": {"/a": 3}}
    ).write(bag)
    found = problems(inspect(bag))
    assert "the recorder dropped 3 on /a" in found
    assert "started in spite of: camera 'head': black" in found


def test_page_is_self_contained_and_escapes_what_others_wrote(recording, tmp_path):
    bag = recording.write()
    Session(episode="bag", note="<script>alert(1)</script>").write(bag)
    write_page(inspect(bag), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 6
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def run(*words: str) -> tuple[int, str]:
    parser = argparse.ArgumentParser()
    bag_command.add_parser(parser.add_subparsers())
    options = parser.parse_args(["bag", *words])
    written = io.StringIO()
    return options.run(options, Console(file=written, width=200)), written.getvalue()


def test_strict_is_for_machines(recording):
    bag = str(recording.write())
    assert run("inspect", bag, "--strict")[0] == 0
    recording.path = recording.path.with_name("other")
    recording.pictures["head"] = np.zeros((48, 64, 3), np.uint8)
    bad = str(recording.write())
    assert run("inspect", bad)[0] == 0
    code, text = run("inspect", bad, "--strict")
    assert code == 1
    assert "problem head" in text


def test_info_uses_the_words_of_ros2_bag_info(recording):
    text = bag_info(recording.write())
    for word in (
        "Files:             bag.mcap",
        "Storage id:        mcap",
        "Messages:          360",
        "Services:          0",
    ):
        assert word in text
    assert (
        "Topic: /arm/joint_states | Type: sensor_msgs/msg/JointState | Count: 120 | Serialization Format: cdr" in text
    )
    assert run("info", str(recording.path))[1].strip() == text.strip()


@pytest.mark.parametrize("path", foreign_bags(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_foreign_bag_is_inspected_or_refused_with_a_remedy(path, tmp_path):
    try:
        seen = inspect(path)
    except RecordingError as error:
        remedies = ("vla3d bag recover", "another middleware", "expected a rosbag2 folder", "name one of")
        assert any(remedy in str(error) for remedy in remedies), str(error)
        return
    write_page(seen, tmp_path / "page.html")
    assert seen.findings
    assert bag_info(path).startswith("Files:")


def test_real_recordings_are_there_or_it_is_said():
    if not SHARED.is_dir():
        pytest.skip("bags made by others are in ../shared/data, which is not here")
    assert len(foreign_bags()) > 30
