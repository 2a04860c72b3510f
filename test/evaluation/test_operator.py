"""People at the robot: through a desk with buttons, and at a terminal; a whole trial on a pretended graph."""

from __future__ import annotations

import importlib.util
import io
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from vla3d_ros.commands.evaluate_terminal import TerminalOperator
from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.desk import DeskPhase, TrialDesk
from vla3d_ros.evaluation.live_study import LiveStudy
from vla3d_ros.evaluation.live_trials import LiveMeasurements, LiveStatus, TrialError
from vla3d_ros.evaluation.operator import EndedTrial, Judgement, OperatorLeftError, SetUp
from vla3d_ros.evaluation.referees import OperatorReferee, trial_view
from vla3d_ros.evaluation.start_image import StartImages
from vla3d_ros.evaluation.study_run import begin_run, read_run

_SPEC = importlib.util.spec_from_file_location("study_example", Path(__file__).with_name("study_example.py"))
example = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(example)


class PretendedGraph:
    """Time passes with every look; the arm rests."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now_ns, self.calls, self.recordings = folder, 0, [], 0
        self.breaks_at_recording = 0

    def status(self) -> LiveStatus:
        self.now_ns += 100_000_000
        return LiveStatus(now_ns=self.now_ns, outcome="running", reason="", phase="", stop_reason="", is_moving=False)

    def place(self, seed: int) -> str:
        raise AssertionError("a person sets the scene")

    def instruct(self, instruction: str) -> None:
        self.calls.append(f"instruct {instruction}")

    def start_recording(self) -> Path:
        self.recordings += 1
        if self.recordings == self.breaks_at_recording:
            raise TrialError("the recorder refused")
        return self.folder / "bags" / f"episode_{self.recordings:04d}"

    def stop_recording(self) -> str:
        return ""

    def measured(self) -> LiveMeasurements:
        interventions = {"disarm": 1}
        return LiveMeasurements(
            latencies_ms=(30.0, 50.0), skews_ms=(1.0,), verdicts={"allow": 7}, interventions=interventions
        )

    def __getattr__(self, name: str):
        return lambda: self.calls.append(name)


def patiently(is_so) -> None:
    deadline = time.monotonic() + 20.0
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def run(tmp_path):
    with begin_run(tmp_path, example.order()) as run:
        yield run


def view_of(run, number: int = 1):
    return trial_view(run.study, run.plan.trial(number), 1, len(run.plan.trials))


def test_a_trial_is_set_up_ended_and_judged_by_pressing_buttons(run, tmp_path):
    desk, graph = TrialDesk(), PretendedGraph(tmp_path)
    policies = []
    study = LiveStudy(run, OperatorReferee(run.study, desk, 24), lambda: "now", policies.append)
    failure: list[BaseException] = []

    def trials() -> None:
        try:
            study.run(graph)
        except OperatorLeftError as error:
            failure.append(error)

    thread = threading.Thread(target=trials)
    thread.start()
    patiently(lambda: desk.look().phase is DeskPhase.SET_UP)
    view = desk.look().view
    assert view.number == 1 and view.policy in ("A", "B") and view.object in view.instruction
    with pytest.raises(ConfigError, match="works at 'judge'"):
        desk.submit(Judgement(is_success=True))
    desk.confirm_set_up(SetUp(placement_score=0.9))
    patiently(lambda: desk.look().status is not None)
    desk.end_trial()
    patiently(lambda: desk.look().phase is DeskPhase.JUDGE)
    assert desk.look().ended.ended_by == "operator"
    with pytest.raises(ConfigError, match=r"unknown sub-tasks \['fly'\]"):
        desk.submit(Judgement(is_success=False, sub_tasks={"fly": True}))
    assert desk.look().ended.interventions == {"disarm": 1}
    said = Judgement(is_success=False, sub_tasks={"grasp": True}, failure="placement", interventions=2, note="slipped")
    desk.submit(said)
    patiently(lambda: desk.look().phase is DeskPhase.SET_UP and desk.look().view.number == 2)
    assert desk.look().done == 1
    desk.leave()
    thread.join(timeout=20.0)
    assert failure and "resume" in str(failure[0])

    (record,) = read_run(tmp_path).records
    assert (record.outcome, record.failure, record.note) == ("failure", "placement", "slipped")
    assert record.sub_tasks == {"grasp": True, "place": False}
    assert record.placement_score == 0.9 and record.bag == "bags/episode_0001"
    assert record.latency_p50_ms == 40.0 and record.verdicts == {"allow": 7}
    assert record.interventions == 3 and record.intervention_kinds == {"disarm": 1, "seen": 2}
    assert policies[0] == run.plan.trial(1).policy
    start = graph.calls.index("instruct " + view.instruction)
    assert "home" in graph.calls[:start] and graph.calls[start - 1] == "arm"
    assert "disarm" in graph.calls[start:]


def test_an_attempt_that_the_graph_spoils_is_invalid_and_repeated(run, tmp_path):
    class Quick:
        def set_up(self, view):
            return SetUp()

        def wants_end(self, view, status):
            return True

        def judge(self, view, ended):
            if view.number > 1:
                raise OperatorLeftError("enough")
            return Judgement(is_success=True)

    graph = PretendedGraph(tmp_path)
    graph.breaks_at_recording = 1
    with pytest.raises(OperatorLeftError):
        LiveStudy(run, OperatorReferee(run.study, Quick(), 24), lambda: "now", lambda label: None).run(graph)
    spoiled, valid = read_run(tmp_path).records
    assert not spoiled.is_valid and spoiled.invalid_because == "the recorder refused"
    assert valid.is_valid and (valid.trial, valid.attempt) == (1, 2)


def terminal(tmp_path, answers: str, **more) -> tuple[TerminalOperator, io.StringIO]:
    shown = io.StringIO()
    console = Console(file=shown, width=120, highlight=False)
    return TerminalOperator(
        console, tmp_path, stdin=io.StringIO(answers), has_input=lambda stream: False, **more
    ), shown


def test_the_terminal_shows_what_to_place_and_never_which_policy_runs(run, tmp_path):
    operator, shown = terminal(tmp_path, "\n")
    view = view_of(run)
    operator.set_up(view)
    text = shown.getvalue()
    assert f"policy {view.policy}" in text and "tau" not in text
    assert all(placed.name in text for placed in view.picture.placed)
    picture = (tmp_path / "pictures" / "trial_00001.png").read_bytes()
    assert picture.startswith(b"\x89PNG")


def test_the_terminal_asks_until_it_understands(run, tmp_path):
    operator, shown = terminal(tmp_path, "maybe\nf\ny\nn\n9\n2\nonce\n1\nslipped\n")
    ended = EndedTrial(ended_by="timeout", reason="", sim_s=60.0, interventions={"disarm": 2})
    judgement = operator.judge(view_of(run), ended)
    assert judgement == Judgement(
        is_success=False,
        sub_tasks={"grasp": True, "place": False},
        failure="grasp",
        interventions=1,
        note="slipped",
    )
    assert "counted by the robot: 2 x disarmed" in shown.getvalue()
    assert "'maybe': expected one of s, f, i" in shown.getvalue()


def test_an_invalid_trial_needs_a_reason(run, tmp_path):
    operator, _ = terminal(tmp_path, "i\n6\n\nsomeone leaned on the table\n\n")
    judgement = operator.judge(view_of(run), EndedTrial(ended_by="operator", reason="", sim_s=3.0))
    assert judgement.invalid_because == "someone leaned on the table" and judgement.failure == "hardware"


def test_leaving_the_terminal_ends_the_run_so_that_it_can_be_resumed(run, tmp_path):
    for answers in ("q\n", ""):
        operator, _ = terminal(tmp_path, answers)
        with pytest.raises(OperatorLeftError, match="--resume"):
            operator.set_up(view_of(run))


def test_the_second_policy_on_a_scene_is_compared_with_the_firsts_start_image(run, tmp_path):
    scene = np.full((120, 160, 3), 90, dtype=np.uint8)
    scene[40:60, 50:80] = 220
    images = iter([scene, np.roll(scene, 30, axis=1), scene, scene])
    starts = StartImages(tmp_path, lambda: next(images))
    first, _ = terminal(tmp_path, "\n", starts=starts)
    assert first.set_up(view_of(run, 1)).placement_score is None
    second, shown = terminal(tmp_path, "\n", starts=starts)
    found = second.set_up(view_of(run, 2))
    assert "placement score" in shown.getvalue()
    assert found.placement_score > 0.99
    assert (tmp_path / found.start_image).exists() and (tmp_path / "starts" / "overlay.png").exists()
