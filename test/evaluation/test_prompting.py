"""A target that is marked: in the live picture, in one colour, spoken of in the words that go with it."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from vla3d_ros.commands.evaluate_terminal import TerminalOperator
from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.desk import DeskPhase, TrialDesk
from vla3d_ros.evaluation.live_study import LiveStudy
from vla3d_ros.evaluation.live_trials import LiveMeasurements, LiveStatus
from vla3d_ros.evaluation.operator import Judgement, SetUp, TargetBox
from vla3d_ros.evaluation.referees import OperatorReferee, trial_view
from vla3d_ros.evaluation.referring import mask_colour
from vla3d_ros.evaluation.study_run import begin_run
from vla3d_ros.policy.prompt_pairing import spoken_colour

_SPEC = importlib.util.spec_from_file_location("study_example", Path(__file__).with_name("study_example.py"))
example = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(example)

BOX = TargetBox(camera="head", x_px=25, y_px=15, width_px=40, height_px=30)
MASKED = example.PROTOCOL.replace("world: real", "world: real\nprompt: mask")


class Picture:
    """A graph that shows a red thing on a table, and keeps what it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now_ns, self.told, self.shown = folder, 0, [], []

    def status(self) -> LiveStatus:
        self.now_ns += 100_000_000
        return LiveStatus(now_ns=self.now_ns, outcome="running", reason="", phase="", stop_reason="", is_moving=False)

    def instruct(self, instruction: str) -> None:
        self.told.append((instruction, len(self.shown)))

    def start_recording(self) -> Path:
        return self.folder / "bags" / "episode_0001"

    def measured(self) -> LiveMeasurements:
        return LiveMeasurements()

    def snapshot(self, camera: str) -> np.ndarray:
        assert camera == "head"
        rgb = np.full((60, 80, 3), 110, np.uint8)
        rgb[20:40, 30:60] = (200, 20, 30)
        return rgb

    def prompt(self, prompt) -> None:
        self.shown.append(prompt)

    def __getattr__(self, name: str):
        return lambda: ""


class Marking:
    """An operator who draws a box, ends every trial at once, and leaves after some."""

    def __init__(self, target: TargetBox | None, trials: int) -> None:
        self.target, self.left = target, trials

    def set_up(self, view):
        assert view.needs_target_box
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return SetUp(target=self.target)

    def wants_end(self, view, status) -> bool:
        return True

    def judge(self, view, ended) -> Judgement:
        return Judgement(is_success=True)


@pytest.fixture
def run(tmp_path):
    with begin_run(tmp_path, example.order(protocol=MASKED)) as run:
        yield run


def run_trials(run, graph, operator) -> list:
    records = []
    study = LiveStudy(run, OperatorReferee(run.study, operator, 24), lambda: "now", lambda label: None, prompts=graph)
    study.on_record = lambda trial, record: records.append(record)
    with pytest.raises(KeyboardInterrupt):
        study.run(graph)
    return records


def test_what_stands_out_in_the_operators_box_is_shown_before_the_instruction_that_speaks_of_it(run, tmp_path):
    graph = Picture(tmp_path)
    records = run_trials(run, graph, Marking(BOX, trials=2))
    assert [record.is_valid for record in records] == [True, True] and len(graph.shown) == 2
    told = [(words, shown) for words, shown in graph.told if words]
    assert [shown for _, shown in told] == [1, 2], "the picture goes first"
    for (words, _), prompt in zip(told, graph.shown, strict=True):
        assert spoken_colour(words) == prompt.colour == mask_colour(prompt.rgb)
        marked = np.ptp(prompt.rgb.astype(int), axis=2) > 0
        assert marked[22:38, 32:58].all() and not marked[:15].any() and not marked[:, :25].any()
    first, second = graph.shown
    assert first.colour == second.colour, "both policies of a pair meet the same scene in the same colour"


def test_without_a_box_an_attempt_is_invalid_and_nothing_is_said_to_the_policy(run, tmp_path):
    graph = Picture(tmp_path)
    (record,) = run_trials(run, graph, Marking(None, trials=1))
    assert not record.is_valid and "box around the target" in record.invalid_because
    assert not graph.shown and not [words for words, _ in graph.told if words]


def test_the_desk_does_not_take_a_scene_without_a_box(run):
    import threading

    desk = TrialDesk()
    view = trial_view(run.study, run.plan.trial(1), 1, 24)
    confirmed = []
    thread = threading.Thread(target=lambda: confirmed.append(desk.set_up(view)))
    thread.start()
    while desk.look().phase is not DeskPhase.SET_UP:
        pass
    with pytest.raises(ConfigError, match="draw a box"):
        desk.confirm_set_up()
    desk.confirm_set_up(SetUp(target=BOX))
    thread.join(10.0)
    assert confirmed[0].target == BOX


def test_the_terminal_asks_for_the_box_until_it_is_four_numbers(run, tmp_path):
    view = trial_view(run.study, run.plan.trial(1), 1, 24)
    answers = io.StringIO("\n25 15 forty\n25 15 40 30\n")
    operator = TerminalOperator(Console(quiet=True), tmp_path, stdin=answers, camera="head")
    assert operator.set_up(view).target == BOX


def test_a_protocol_with_masks_needs_a_way_to_show_them(run):
    with pytest.raises(ConfigError, match="marks targets by masks"):
        LiveStudy(run, OperatorReferee(run.study, Marking(BOX, 1), 24), lambda: "now", lambda label: None)
