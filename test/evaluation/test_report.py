from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from vla3d_ros.datatypes import JointLimits
from vla3d_ros.evaluation.episode_metrics import measure_episode
from vla3d_ros.evaluation.report import complete_result, write_report, write_trials_json
from vla3d_ros.evaluation.trial import TrialResult
from vla3d_ros.recording import BagWriter, EpisodeTrace, offered_qos

MS = 1_000_000
LIMITS = JointLimits(
    joint_names=("r1_a", "r1_b"),
    q_lower=-np.ones(2),
    q_upper=np.ones(2),
    velocity=np.ones(2),
    acceleration=np.ones(2),
    jerk=np.ones(2),
)


class Page(HTMLParser):
    """Collects what a reader would see and fetch."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text, self.links, self.images, self.open = "", [], [], []
        self._is_style = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self._is_style = tag == "style"
        if tag == "img":
            self.images.append(values["src"])
        if tag in ("a", "link", "script"):
            self.links.append(values.get("href") or values.get("src"))

    def handle_data(self, data):
        if not self._is_style:
            self.text += data


def trial(number: int, **changes) -> TrialResult:
    values = {
        "trial": number,
        "seed": 40 + number,
        "instruction": f"pick up cube {number}",
        "outcome": "success",
        "reason": "",
        "sim_s": 12.0,
    }
    return TrialResult(**(values | changes))


def record(path: Path, ros, cameras: tuple[str, ...] = ("head", "wrist")) -> None:
    """A second of an episode: two images a camera, ten chunks 40 ms late, a moving arm."""
    status, pixels = "diagnostic_msgs/msg/DiagnosticStatus", np.full((6, 8, 3), 90, dtype=np.uint8)
    entries = []
    for i in range(10):
        ns = (i + 1) * 100 * MS
        chunk = ros.cdr("trajectory_msgs/msg/MultiDOFJointTrajectory", header=ros.header(ns), joint_names=[], points=[])
        path_ = ros.cdr("geometry_msgs/msg/PoseArray", header=ros.header(ns), poses=[ros.pose(0.4, 0, 0.3)] * 3)
        state = ros.joint_state(ns, ["r1_a", "r1_b"], [0.1 * i, 0.0], [0.5, 0.0])
        entries += [
            ("/joint_states", "sensor_msgs/msg/JointState", ns, state),
            ("/r1/ee_state", "sensor_msgs/msg/MultiDOFJointState", ns, ros.ee_state(ns, arm=(0.4, 0.0, 0.03 * i))),
            ("/r1/policy/chunk", "trajectory_msgs/msg/MultiDOFJointTrajectory", ns + 40 * MS, chunk),
            ("/r1/policy/report", status, ns + 40 * MS, ros.status("p", 0, "chunk", compute_ms="7", skew_ms="2")),
            ("/r1/adapter/verdict", status, ns + 41 * MS, ros.status("s", 0, "allow")),
            ("/r1/adapter/planned_path/arm", "geometry_msgs/msg/PoseArray", ns + 41 * MS, path_),
        ]
    for camera in cameras:
        for ns in (100 * MS, 900 * MS):
            topic = f"/r1/camera/{camera}/image_raw"
            entries.append((topic, "sensor_msgs/msg/Image", ns, ros.image(pixels, ns)))
    with BagWriter(path) as writer:
        for topic, msgtype in {entry[0]: entry[1] for entry in entries}.items():
            writer.add_topic(topic, msgtype, offered_qos())
        for topic, _, ns, cdr in sorted(entries, key=lambda entry: entry[2]):
            writer.write(topic, ns, cdr)


def test_report_of_a_recorded_trial_is_complete_and_self_contained(tmp_path, ros):
    record(tmp_path / "trial_1", ros)
    (done,) = write_report(tmp_path, [trial(1, bag="trial_1")], title="tabletop", limits=[LIMITS])
    page = Page(tmp_path / "report.html")
    assert len(page.images) == 4
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.images)
    assert page.links == ["#trial-1", "trial_1", "trial_1"]
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    for figure in ("path", "latency", "joints"):
        assert html.count(f'<svg class="figure {figure}"') == 1
    assert "1/1" in page.text
    assert "40.0 / 40.0 ms" in page.text
    assert "10 allow" in page.text
    assert (done.latency_p50_ms, done.skew_p99_ms) == pytest.approx((40.0, 2.0))
    assert done.verdicts == {"allow": 10}


def test_missing_pieces_are_said_not_hidden(tmp_path, ros):
    record(tmp_path / "blind", ros, cameras=())
    (tmp_path / "broken").mkdir()
    trials = [
        trial(1, bag="blind"),
        trial(2),
        trial(3, bag="gone", outcome="failure", reason="timeout"),
        trial(4, bag="broken"),
    ]
    write_report(tmp_path, trials, title="tabletop", limits=[LIMITS])
    text = Page(tmp_path / "report.html").text
    assert "The bag holds no camera images." in text
    assert "This trial was not recorded" in text
    assert re.search(r"no bag at \S*gone; available there", text)
    assert "it has no metadata.yaml" in text
    assert "timeout" in text


@pytest.mark.parametrize("count", [0, 1, 100])
def test_report_renders_for_any_number_of_trials(tmp_path, count):
    trials = [trial(number, outcome="success" if number % 4 else "failure") for number in range(count)]
    write_report(tmp_path, trials, title="tabletop")
    page = Page(tmp_path / "report.html")
    assert f"{sum(t.is_success for t in trials)}/{count}" in page.text
    assert len([link for link in page.links if link.startswith("#trial-")]) == count


def test_words_from_outside_can_not_become_markup(tmp_path):
    write_report(tmp_path, [trial(1, instruction="<script>alert(1)</script>")], title="a & b")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_what_a_trial_measured_itself_is_kept(tmp_path, ros):
    record(tmp_path / "bag", ros)
    own = trial(1, bag="bag", latency_p50_ms=11.0, latency_p99_ms=12.0, verdicts={"stop": 1}, lost_view_sets=5)
    (done,) = write_report(tmp_path, [own], title="tabletop")
    assert (done.latency_p50_ms, done.verdicts, done.lost_view_sets) == (11.0, {"stop": 1}, 5)
    assert done.skew_p99_ms == pytest.approx(2.0)


def test_trials_json_holds_every_trial_and_the_rate_with_its_interval(tmp_path):
    trials = [trial(1), trial(2, outcome="failure", reason="dropped the cube", verdicts={"stop": 1})]
    path = write_trials_json(tmp_path, trials)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert path.name == "trials.json"
    assert (content["summary"]["successes"], content["summary"]["trials"]) == (1, 2)
    low, high = content["summary"]["rate_95"]
    assert low < 0.5 < high
    assert [TrialResult.from_json(values) for values in content["trials"]] == trials


def test_unwritable_folder_is_named(tmp_path):
    (tmp_path / "run").write_text("a file where the folder should be")
    with pytest.raises(OSError, match=r"run/report\.html can not be written"):
        write_report(tmp_path / "run", [], title="tabletop")


def test_complete_result_leaves_unmeasured_values_unknown():
    empty = measure_episode(EpisodeTrace(path=Path("bag"), start_ns=0, duration_ns=0))
    assert complete_result(trial(1), empty) == trial(1)
