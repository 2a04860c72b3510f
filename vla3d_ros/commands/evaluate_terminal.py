"""An operator at a terminal: placement picture, checklist, keys for the outcome, a note."""

from __future__ import annotations

import select
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table

from vla3d_ros.evaluation.interventions import intervention_text
from vla3d_ros.evaluation.live_trials import LiveStatus
from vla3d_ros.evaluation.operator import EndedTrial, Judgement, OperatorLeftError, SetUp, TargetBox, TrialView
from vla3d_ros.evaluation.placement_figure import placement_png
from vla3d_ros.evaluation.start_image import StartImages
from vla3d_ros.evaluation.study import FailureKind

_BOX = ("x_px", "y_px", "width_px", "height_px")
_FAILURES = {str(number): kind for number, kind in enumerate(FailureKind, start=1)}


class TerminalOperator:
    """Asks line by line. The arm's stop is not a key here: use the robot's own, or the service `adapter/stop`."""

    def __init__(
        self,
        console: Console,
        folder: Path,
        starts: StartImages | None = None,
        stdin: TextIO = sys.stdin,
        has_input: Callable[[TextIO], bool] | None = None,
        *,
        camera: str = "",
    ) -> None:
        """Open the terminal.

        Args:
            console: Where it is shown.
            folder: Of the run; placement pictures go below it.
            starts: Compares the scene with its reference image; None without a camera.
            stdin: Where answers come from.
            has_input: Whether a line can be read without waiting.
            camera: In whose picture targets are marked.
        """
        self._camera = camera
        self._console, self._folder, self._starts, self._stdin = console, folder, starts, stdin
        self._has_input = has_input or (lambda stream: bool(select.select([stream], [], [], 0.0)[0]))

    def set_up(self, view: TrialView) -> SetUp:
        """Show what to place where, and wait for Enter."""
        self._show(view)
        while True:
            self._compare(view)
            answer = self._ask("Enter when the scene is ready (c: compare again, q: end the run)")
            if answer != "c":
                return self._ready(view)

    def wants_end(self, view: TrialView, status: LiveStatus) -> bool:
        """Whether a line was entered while the trial runs."""
        if not self._has_input(self._stdin):
            return False
        self._stdin.readline()
        return True

    def judge(self, view: TrialView, ended: EndedTrial) -> Judgement:
        """Ask for outcome, sub-tasks, kind of failure and a note."""
        self._console.print(f"ended after {ended.sim_s:.1f} s by [bold]{ended.ended_by}[/]: {ended.reason}")
        self._console.print(f"success means: {view.success}")
        outcome = self._choose("outcome: s success, f failure, i invalid (not the policy's fault)", ("s", "f", "i"))
        if outcome == "i":
            failure, reason = self._failure(), self._reason()
            return Judgement(is_success=False, failure=failure, invalid_because=reason, note=self._note())
        is_success = outcome == "s"
        done = {step.name: is_success or self._is_done(step.text) for step in view.sub_tasks}
        failure = "" if is_success else self._failure()
        return Judgement(
            is_success=is_success,
            sub_tasks=done,
            failure=failure,
            interventions=self._interventions(ended),
            note=self._note(),
        )

    # ------------------------------------------------------------------------------------------ screens

    def _show(self, view: TrialView) -> None:
        picture = self._folder / "pictures" / f"trial_{view.number:05d}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(placement_png(view.picture))
        attempt = f", attempt {view.attempt}" if view.attempt > 1 else ""
        self._console.rule(f"trial {view.number} of {view.total}{attempt} · policy {view.policy}")
        self._console.print(f"{view.task} · {view.setting} · [bold]{view.instruction}[/]")
        for what, value in view.changes.items():
            self._console.print(f"[bold yellow]change now[/] {what}: {value}")
        for what, value in view.environment.items():
            self._console.print(f"  {what}: {value}")
        table = Table(box=None, header_style="bold", pad_edge=False)
        for heading in ("", "what", "where, seen from the robot"):
            table.add_column(heading)
        for number, (placed, line) in enumerate(zip(view.picture.placed, view.picture.lines(), strict=True), start=1):
            table.add_row(str(number), placed.name, line.split(": ", 1)[1])
        self._console.print(table)
        self._console.print(f"picture: {picture}")
        for line in view.checklist:
            self._console.print(f"  [ ] {line}", markup=False)

    def _compare(self, view: TrialView) -> None:
        found = self._starts.compare(view.condition) if self._starts is not None else None
        if found is None:
            return
        match, path = found
        word = "alike" if match.is_alike else "not alike"
        self._console.print(f"placement score {match.score:.2f} ({word}), overlay: {path}")
        if not match.is_camera_still:
            self._console.print(f"[bold red]the camera has moved by {match.shift_px:.1f} px[/]: check the rig")

    def _ready(self, view: TrialView) -> SetUp:
        target = self._target_box() if view.needs_target_box else None
        if self._starts is None:
            return SetUp(target=target)
        found = self._starts.compare(view.condition)
        image = self._starts.keep(view.condition, view.number, view.attempt)
        return SetUp(placement_score=found[0].score if found else None, start_image=image, target=target)

    def _target_box(self) -> TargetBox:
        """Ask where the target is, until four numbers were given; show the picture they are read from."""
        if self._starts is not None:
            self._console.print(f"the camera's picture, to read the box from: {self._starts.show()}")
        while True:
            answer = self._ask(f"box around the target in camera '{self._camera}': x y width height, pixels").split()
            if len(answer) == len(_BOX) and all(word.isdigit() for word in answer):
                return TargetBox(camera=self._camera, **dict(zip(_BOX, map(int, answer), strict=True)))
            self._console.print(f"'{' '.join(answer)}': expected four whole numbers, e.g. 310 220 60 45", markup=False)

    # ---------------------------------------------------------------------------------------- questions

    def _failure(self) -> str:
        kinds = ", ".join(f"{key} {kind.value}" for key, kind in _FAILURES.items())
        return _FAILURES[self._choose(f"why: {kinds}", tuple(_FAILURES))].value

    def _interventions(self, ended: EndedTrial) -> int:
        """Ask only for what no node can know."""
        counted = intervention_text(ended.interventions)
        if counted:
            self._console.print(f"interventions counted by the robot: {counted}")
        while True:
            answer = self._ask("other interventions: a hand in the scene, an object moved (number, Enter for none)")
            if not answer or answer.isdigit():
                return int(answer or 0)
            self._console.print(f"'{answer}': expected a whole number", markup=False)

    def _is_done(self, text: str) -> bool:
        return self._choose(f"done? {text} (y, n)", ("y", "n")) == "y"

    def _reason(self) -> str:
        while not (reason := self._ask("why is it invalid?")):
            self._console.print("a reason is needed")
        return reason

    def _note(self) -> str:
        return self._ask("note (Enter for none)")

    def _choose(self, question: str, keys: tuple[str, ...]) -> str:
        while (answer := self._ask(question)) not in keys:
            self._console.print(f"'{answer}': expected one of {', '.join(keys)}", markup=False)
        return answer

    def _ask(self, question: str) -> str:
        self._console.print(f"[bold]?[/] {question}: ", end="")
        line = self._stdin.readline()
        if not line or line.strip() == "q":
            raise OperatorLeftError("the operator ended the run; go on with --resume")
        return line.strip()
