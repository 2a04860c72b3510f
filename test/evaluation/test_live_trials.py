"""One live trial against a graph that refuses or is interrupted: the arm is disarmed, the first cause is kept."""

from pathlib import Path

import pytest

from vla3d_ros.evaluation.live_trials import LiveMeasurements, LiveStatus, TrialError, run_live_trial


class Graph:
    """A graph in which calls fail as told; its clock goes on by a tenth of a second at every look."""

    def __init__(self, **failures: BaseException) -> None:
        self.failures, self.calls, self.now_ns, self.outcome = failures, [], 0, "success"

    def __getattr__(self, name: str):
        def call(*arguments: object) -> object:
            self.calls.append(name)
            if name in self.failures and self.calls.count("start_recording"):
                raise self.failures[name]
            return {"place": "pick", "start_recording": Path("bag"), "measured": LiveMeasurements()}.get(name, "")

        return call

    def status(self) -> LiveStatus:
        self.now_ns += 100_000_000
        return LiveStatus(
            now_ns=self.now_ns, outcome=self.outcome, reason="", phase="", stop_reason="", is_moving=False
        )


def run(graph: Graph) -> None:
    run_live_trial(graph, trial=1, seed=0, timeout_s=5.0)


def ends_well(graph: Graph) -> bool:
    return graph.calls[-3:] == ["disarm", "stop_recording", "measured"]


def test_a_trial_ends_disarmed_with_its_bag_closed():
    graph = Graph()
    run(graph)
    assert ends_well(graph)


def test_the_first_cause_is_said_before_what_went_wrong_at_the_end():
    graph = Graph(arm=TrialError("'adapter/arm' refused: stale"), stop_recording=TrialError("no episode"))
    with pytest.raises(TrialError, match=r"^'adapter/arm' refused: stale; and at the end: no episode$"):
        run(graph)
    assert ends_well(graph)


def test_an_interrupt_is_not_lost_to_a_refusal_at_the_end():
    graph = Graph(check_alive=KeyboardInterrupt(), stop_recording=TrialError("no episode"))
    with pytest.raises(KeyboardInterrupt):
        run(graph)
    assert ends_well(graph)


def test_an_arm_that_does_not_answer_disarm_leaves_no_open_bag():
    graph = Graph(disarm=TrialError("'adapter/disarm' has not answered"))
    with pytest.raises(TrialError, match="has not answered"):
        run(graph)
    assert ends_well(graph)
