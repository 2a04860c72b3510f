"""The operator's desk: what a page shows and its buttons do, while trials wait on the other side. Thread-safe.

A page calls `look` as often as it likes and the buttons' methods when they are pressed; the trials' thread sees an
`Operator`. A page that dies leaves the desk as it is, and another one takes over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.live_trials import LiveStatus
from vla3d_ros.evaluation.operator import EndedTrial, Judgement, OperatorLeftError, SetUp, TrialView

_POLL_S = 0.1


class DeskPhase(Enum):
    """What the trials wait for."""

    IDLE = "idle"
    SET_UP = "set up"
    RUNNING = "running"
    JUDGE = "judge"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskState:
    """What a page shows: the trial, what is waited for, the live status while it runs, and how it ended."""

    phase: DeskPhase = DeskPhase.IDLE
    view: TrialView | None = None
    status: LiveStatus | None = None
    ended: EndedTrial | None = None
    done: int = 0


class TrialDesk:
    """An `Operator` for the trials, a state and buttons for a page."""

    def __init__(self, check_alive: Callable[[], None] = lambda: None) -> None:
        """Open the desk.

        Args:
            check_alive: Raises if the graph has ended while nobody presses anything.
        """
        self._changed = threading.Condition()
        self._state = DeskState()
        self._check_alive = check_alive
        self._set_up: SetUp | None = None
        self._judgement: Judgement | None = None
        self._is_ended = False
        self._has_left = False

    # --------------------------------------------------------------------------------------- for a page

    def look(self) -> DeskState:
        """Return what is to be shown now."""
        with self._changed:
            return self._state

    def confirm_set_up(self, set_up: SetUp | None = None) -> None:
        """Say that the scene is ready.

        Raises:
            ConfigError: If no scene is being set up; a button that was pressed twice changes nothing. Or if the trial
                is prompted by a mask, and nobody has drawn a box around its target.
        """
        with self._changed:
            self._expect(DeskPhase.SET_UP)
            view = self._state.view
            if view is not None and view.needs_target_box and (set_up is None or set_up.target is None):
                raise ConfigError("this trial is prompted by a mask: draw a box around the target, then confirm")
            self._set_up = set_up or SetUp()
            self._changed.notify_all()

    def end_trial(self) -> None:
        """End the running trial; the arm is brought to rest.

        Raises:
            ConfigError: If none is running.
        """
        with self._changed:
            self._expect(DeskPhase.RUNNING)
            self._is_ended = True

    def submit(self, judgement: Judgement) -> None:
        """Say how the trial went.

        Raises:
            ConfigError: If no trial waits for it, or a sub-task is unknown.
        """
        with self._changed:
            self._expect(DeskPhase.JUDGE)
            assert self._state.view is not None
            known = [step.name for step in self._state.view.sub_tasks]
            unknown = sorted(set(judgement.sub_tasks) - set(known))
            if unknown:
                raise ConfigError(f"unknown sub-tasks {unknown}: expected some of {known}")
            self._judgement = judgement
            self._changed.notify_all()

    def leave(self) -> None:
        """End the run; it can be resumed at this trial."""
        with self._changed:
            self._has_left = True
            self._changed.notify_all()

    # ---------------------------------------------------------------------------------------- Operator

    def set_up(self, view: TrialView) -> SetUp:
        """Show a trial and wait until its scene is confirmed."""
        with self._changed:
            self._set_up, self._is_ended = None, False
            self._state = DeskState(phase=DeskPhase.SET_UP, view=view, done=self._state.done)
            self._wait(lambda: self._set_up is not None)
            assert self._set_up is not None
            self._state = replace(self._state, phase=DeskPhase.RUNNING)
            return self._set_up

    def wants_end(self, view: TrialView, status: LiveStatus) -> bool:
        """Show the live status and return whether the trial was ended."""
        with self._changed:
            self._state = replace(self._state, status=status)
            return self._is_ended or self._has_left

    def judge(self, view: TrialView, ended: EndedTrial) -> Judgement:
        """Show how the trial ended and wait for the outcome."""
        with self._changed:
            self._judgement = None
            self._state = replace(self._state, phase=DeskPhase.JUDGE, view=view, ended=ended, status=None)
            self._wait(lambda: self._judgement is not None)
            assert self._judgement is not None
            self._state = DeskState(done=self._state.done + 1)
            return self._judgement

    def _wait(self, is_done: Callable[[], bool]) -> None:
        while not self._changed.wait_for(lambda: is_done() or self._has_left, timeout=_POLL_S):
            self._check_alive()
        if self._has_left:
            raise OperatorLeftError("the operator ended the run; go on with --resume")

    def _expect(self, phase: DeskPhase) -> None:
        if self._state.phase is not phase:
            raise ConfigError(f"the desk is at '{self._state.phase.value}'; this button works at '{phase.value}'")
