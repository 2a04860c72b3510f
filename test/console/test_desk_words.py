"""A press at the console reaches the trial it was meant for, or changes nothing."""

import json
import threading
import time

import pytest

from vla3d_ros.console.desk_words import FAILURES, AnswerError, desk_to_json, give_answer
from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.desk import DeskPhase, TrialDesk
from vla3d_ros.evaluation.operator import EndedTrial, OperatorLeftError, SetUp, TargetBox, TrialView
from vla3d_ros.evaluation.placement import Placed, PlacementPicture
from vla3d_ros.evaluation.study import SubTask

WALL_LIMIT_S = 20.0
ENDED = EndedTrial(ended_by="timeout", reason="timeout after 40 s", sim_s=40.0)


def view(number=3, attempt=2, *, needs_target_box=False):
    cup = Placed(name="cup", role="target", x_m=0.5, y_m=0.1, yaw_deg=30.0, size_m=(0.05, 0.05))
    return TrialView(
        number=number, total=9, condition=1, attempt=attempt, policy="B", task="pour", setting="bench", object="cup",
        instruction="pour the cup", success="the cup is empty", timeout_s=40.0,
        sub_tasks=(SubTask(name="lift", text="the cup is lifted"), SubTask(name="pour", text="poured")),
        checklist=("lights on",), environment={"cloth": "red"}, changes={"cloth": "red"},
        picture=PlacementPicture(title="t", region_x_m=(0.3, 0.6), region_y_m=(-0.2, 0.2), placed=(cup,)),
        needs_target_box=needs_target_box,
    )  # fmt: skip


def answer(say, number=3, attempt=2, **more):
    return {"say": say, "trial": number, "attempt": attempt, **more}


def wait_for(desk, phase):
    deadline = time.monotonic() + WALL_LIMIT_S
    while desk.look().phase is not phase:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def confirmed(target):
    return SetUp(target=target)


class Trials:
    """The side on which trials wait."""

    def __init__(self):
        self.desk, self.said = TrialDesk(), []

    def begin(self, action, *arguments):
        def run():
            try:
                self.said.append(action(*arguments))
            except OperatorLeftError as error:
                self.said.append(error)

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def result(self):
        self._thread.join(WALL_LIMIT_S)
        return self.said[-1]


@pytest.fixture
def trials():
    return Trials()


def test_the_operator_sees_what_to_place_where_and_a_label_instead_of_the_policy(trials):
    trials.begin(trials.desk.set_up, view())
    wait_for(trials.desk, DeskPhase.SET_UP)
    words = json.loads(json.dumps(desk_to_json(trials.desk.look(), 0.93, "")))
    assert words["phase"] == "set up" and words["score"] == 0.93
    assert words["trial"]["policy"] == "B" and words["trial"]["failures"] == list(FAILURES)
    assert "<svg" in words["trial"]["picture"] and "1 cup" in words["trial"]["picture"]
    assert words["trial"]["places"] == ["cup: 50 cm away, 10 cm to the left, turned 30°"]
    give_answer(trials.desk, answer("ready"), lambda target: SetUp(placement_score=0.93))
    assert trials.result() == SetUp(placement_score=0.93)


def test_a_press_for_another_trial_or_attempt_changes_nothing(trials):
    trials.begin(trials.desk.set_up, view())
    wait_for(trials.desk, DeskPhase.SET_UP)
    for late in (answer("ready", number=2), answer("ready", attempt=1), {"say": "ready"}):
        with pytest.raises(AnswerError, match="is over"):
            give_answer(trials.desk, late, confirmed)
    assert trials.desk.look().phase is DeskPhase.SET_UP
    give_answer(trials.desk, answer("ready"), confirmed)
    trials.result()
    with pytest.raises(ConfigError, match="works at 'set up'"):
        give_answer(trials.desk, answer("ready"), confirmed)


def test_an_outcome_is_carried_with_sub_tasks_kind_of_failure_and_note(trials):
    trials.begin(trials.desk.judge, view(), ENDED)
    wait_for(trials.desk, DeskPhase.JUDGE)
    assert desk_to_json(trials.desk.look(), None, "")["ended"]["sim_s"] == 40.0
    said = answer("judge", outcome="failure", failure="grasp", sub_tasks={"lift": True}, note=" slipped ")
    give_answer(trials.desk, said, confirmed)
    judgement = trials.result()
    assert not judgement.is_success and judgement.failure == "grasp" and judgement.note == "slipped"
    assert judgement.sub_tasks == {"lift": True} and judgement.invalid_because == ""


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"outcome": "won"}, "'outcome' is 'won'"),
        ({"outcome": "failure"}, "choose why"),
        ({"outcome": "invalid", "failure": "hardware", "because": "  "}, "say why"),
        ({"outcome": "invalid"}, "choose why.*say why"),
    ],
)
def test_an_incomplete_outcome_is_refused_and_can_be_completed(trials, said, complaint):
    trials.begin(trials.desk.judge, view(), ENDED)
    wait_for(trials.desk, DeskPhase.JUDGE)
    with pytest.raises(AnswerError, match=complaint):
        give_answer(trials.desk, answer("judge", **said), confirmed)
    whole = answer("judge", outcome="invalid", failure="hardware", because="the gripper jammed")
    give_answer(trials.desk, whole, confirmed)
    assert trials.result().invalid_because == "the gripper jammed"


def test_a_running_trial_can_be_ended_and_the_session_left(trials):
    trials.begin(trials.desk.set_up, view())
    wait_for(trials.desk, DeskPhase.SET_UP)
    give_answer(trials.desk, answer("ready"), confirmed)
    trials.result()
    give_answer(trials.desk, answer("end"), confirmed)
    trials.begin(trials.desk.judge, view(), ENDED)
    wait_for(trials.desk, DeskPhase.JUDGE)
    give_answer(trials.desk, {"say": "leave"}, confirmed)
    assert isinstance(trials.result(), OperatorLeftError)


def test_a_box_around_the_target_is_carried_and_a_trial_that_needs_one_waits_for_it(trials):
    trials.begin(trials.desk.set_up, view(needs_target_box=True))
    wait_for(trials.desk, DeskPhase.SET_UP)
    assert desk_to_json(trials.desk.look(), None, "")["trial"]["needs_target_box"]
    with pytest.raises(ConfigError, match="draw a box"):
        give_answer(trials.desk, answer("ready"), confirmed)
    with pytest.raises(AnswerError, match="no box"):
        give_answer(trials.desk, answer("ready", target={"camera": "head", "x_px": 1.5}), confirmed)
    box = {"camera": "head", "x_px": 10, "y_px": 20, "width_px": 30, "height_px": 40}
    give_answer(trials.desk, answer("ready", target=box), confirmed)
    assert trials.result().target == TargetBox(**box)
