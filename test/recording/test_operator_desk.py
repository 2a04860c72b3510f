from __future__ import annotations

from collections import deque

import pytest

from vla3d_ros.recording.operator_desk import OperatorDesk


class FakeRecorder:
    """Does what it is told, unless `answers` says otherwise."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.answers: dict[str, deque[tuple[bool, str]]] = {}
        self.values: dict[str, str] = {}

    def call(self, service: str) -> tuple[bool, str]:
        self.calls.append(service)
        waiting = self.answers.get(service)
        return waiting.popleft() if waiting else (True, f"{service}: done")

    def note(self, text: str) -> None:
        self.calls.append(f"note {text}")

    def begin(self) -> None:
        self.calls.append("begin")

    def end(self) -> None:
        self.calls.append("end")


class Table:
    """A desk, what it said, and a recorder."""

    def __init__(self, **settings) -> None:
        self.recorder, self.said = FakeRecorder(), []
        wanted = {"episodes": None, "countdown_s": 0.0, "seconds": None, "is_forced": False, **settings}
        self.desk = OperatorDesk(self.recorder, **wanted, say=self.said.append, ask=lambda: "slipped")

    def press(self, keys: str, now_s: float = 0.0) -> None:
        for key in keys:
            self.desk.press(key, now_s)
            self.desk.tick(now_s)


def test_space_counts_down_starts_and_stops():
    table = Table(countdown_s=3.0, episodes=1)
    table.press(" ", 10.0)
    assert "starts in 2 s" in table.desk.line(11.0)
    table.desk.tick(12.9)
    assert table.recorder.calls == []
    table.desk.tick(13.0)
    table.press(" ", 20.0)
    assert table.recorder.calls == ["start", "begin", "stop", "end"]
    assert table.desk.is_done


def test_space_during_the_countdown_calls_it_off():
    table = Table(countdown_s=3.0)
    table.press("  ", 10.0)
    table.desk.tick(20.0)
    assert table.recorder.calls == []
    assert table.said == ["countdown called off"]


def test_refused_start_shows_every_reason_and_counts_nothing():
    table = Table(episodes=1)
    table.recorder.answers["start"] = deque([(False, "not started: two reasons")])
    table.press(" ")
    assert table.said == ["not started: two reasons"]
    assert not table.desk.is_recording
    assert not table.desk.is_done


@pytest.mark.parametrize(("key", "service"), [("s", "success"), ("f", "failure")])
def test_judging_ends_the_episode_and_may_be_corrected_after(key, service):
    table = Table(episodes=2)
    table.press(f" {key}sf")
    assert table.recorder.calls == ["start", "begin", service, "end", "success", "failure"]
    assert table.desk.recorded == 1


def test_discarded_episodes_do_not_count_whether_open_or_just_ended():
    table = Table(episodes=2)
    table.press(" d")
    assert table.desk.recorded == 0
    table.press("  d")
    assert table.desk.recorded == 0
    table.press("f")
    assert table.said[-1] == "nothing recorded yet; space starts"


def test_note_check_quit_and_unknown_keys():
    table = Table()
    table.press("ncz q")
    assert table.recorder.calls == ["note slipped", "check", "start", "begin", "stop", "end"]
    assert "key 'z' does nothing" in " ".join(table.said)
    assert table.desk.is_done


def test_force_asks_for_a_forced_start():
    table = Table(is_forced=True)
    table.press(" ")
    assert table.recorder.calls[0] == "start_forced"


def test_unattended_desk_records_episode_after_episode():
    table = Table(seconds=5.0, episodes=2)
    for now_s in range(20):
        if not table.desk.is_done:
            table.desk.tick(float(now_s))
    assert table.recorder.calls == ["start", "begin", "stop", "end"] * 2
    assert table.desk.recorded == 2


def test_unattended_desk_gives_up_on_a_graph_that_stays_sick():
    table = Table(seconds=5.0, episodes=1)
    table.recorder.answers["start"] = deque([(False, "not started: camera")] * 100)
    for now_s in range(20):
        if not table.desk.is_done:
            table.desk.tick(float(now_s))
    assert table.desk.is_done
    assert table.desk.recorded == 0


def test_episode_that_ended_by_itself_is_announced():
    table = Table()
    table.press(" ")
    table.recorder.values = {"failure": "episode ended early: disk"}
    table.desk.tick(3.0)
    assert table.said[-1] == "episode ended early: disk"
    assert not table.desk.is_recording


def test_status_line_shows_drops_queue_risk_and_problems():
    table = Table()
    table.press(" ")
    table.recorder.values = {
        "seconds": "4.2", "messages": "900", "dropped": "7", "queue": "0.5", "at_risk_s": "0.31", "free_mb": "12000",
        "problems": "camera 'head': black\ncamera 'side': black",
    }  # fmt: skip
    line = table.desk.line(0.0)
    for part in (
        "4.2 s",
        "900 messages",
        "dropped 7",
        "queue 50%",
        "at risk 0.31 s",
        "12.0 GB free",
        "PROBLEMS: camera",
    ):
        assert part in line
