"""A trial at the operator's desk in words for another process, and what was pressed there back to the desk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from vla3d_ros.errors import Vla3dError
from vla3d_ros.evaluation.desk import DeskState, TrialDesk
from vla3d_ros.evaluation.operator import Judgement, SetUp, TargetBox, TrialView
from vla3d_ros.evaluation.placement import PlacementPicture
from vla3d_ros.evaluation.placement_figure import placement_svg
from vla3d_ros.evaluation.study import FailureKind

FAILURES = tuple(kind.value for kind in FailureKind)


class AnswerError(Vla3dError, ValueError):
    """A press on the trial panel that does not fit what the trials wait for."""


def desk_to_json(state: DeskState, score: float | None, refusal: str) -> dict[str, Any]:
    """Return what a page shows of the desk.

    Args:
        state: Of the desk.
        score: How alike the scene is to its reference image, 0 to 1; None without one.
        refusal: Why the last press changed nothing; empty if it did.
    """
    words: dict[str, Any] = {"phase": state.phase.value, "done": state.done, "refusal": refusal, "score": score}
    if state.view is not None:
        words["trial"] = _trial(state.view)
    if state.status is not None:
        words["run"] = {"phase": state.status.phase, "ros_ns": state.status.now_ns}
    if state.ended is not None:
        words["ended"] = {"by": state.ended.ended_by, "reason": state.ended.reason, "sim_s": state.ended.sim_s}
    return words


def give_answer(desk: TrialDesk, answer: Mapping[str, Any], ready: Callable[[TargetBox | None], SetUp]) -> None:
    """Do at the desk what was pressed.

    Args:
        desk: Where the trials wait.
        answer: `say` (ready, end, judge, leave), `trial` and `attempt` it was pressed for, and the judgement's fields.
        ready: Makes what is known of the scene once it is confirmed, with the box around the target if there is one.

    Raises:
        AnswerError: If it was meant for another trial, or is incomplete.
        ConfigError: If the desk waits for something else.
    """
    if answer.get("say") == "leave":
        desk.leave()
        return
    view = desk.look().view
    meant = (answer.get("trial"), answer.get("attempt"))
    if view is None or meant != (view.number, view.attempt):
        raise AnswerError(f"that was meant for trial {meant[0]}, attempt {meant[1]}, which is over")
    match answer.get("say"):
        case "ready":
            desk.confirm_set_up(ready(_target_box(answer)))
        case "end":
            desk.end_trial()
        case "judge":
            desk.submit(_judgement(answer))
        case other:
            raise AnswerError(f"'say' is {other!r}; expected ready, end, judge or leave")


def _target_box(answer: Mapping[str, Any]) -> TargetBox | None:
    box = answer.get("target")
    if box is None:
        return None
    sides = ("x_px", "y_px", "width_px", "height_px")
    if not isinstance(box, dict) or not all(isinstance(box.get(side), int) for side in sides):
        raise AnswerError(f"'target' is no box: expected its camera and whole numbers {', '.join(sides)}")
    return TargetBox(camera=str(box.get("camera", "")), **{side: box[side] for side in sides})


def _judgement(answer: Mapping[str, Any]) -> Judgement:
    outcome, failure = answer.get("outcome"), str(answer.get("failure", ""))
    because = str(answer.get("because", "")).strip()
    problems = []
    if outcome not in ("success", "failure", "invalid"):
        problems.append(f"'outcome' is {outcome!r}; expected success, failure or invalid")
    if outcome in ("failure", "invalid") and failure not in FAILURES:
        problems.append(f"choose why: {', '.join(FAILURES)}")
    if outcome == "invalid" and not because:
        problems.append("say why the trial is invalid")
    if problems:
        raise AnswerError("; ".join(problems))
    done = answer.get("sub_tasks", {})
    return Judgement(
        is_success=outcome == "success",
        sub_tasks={str(name): bool(value) for name, value in done.items()} if isinstance(done, dict) else {},
        failure="" if outcome == "success" else failure,
        note=str(answer.get("note", "")).strip(),
        interventions=int(answer.get("interventions", 0)),
        invalid_because=because if outcome == "invalid" else "",
    )


def _trial(view: TrialView) -> dict[str, Any]:
    return {
        "number": view.number,
        "total": view.total,
        "attempt": view.attempt,
        "policy": view.policy,
        "task": view.task,
        "setting": view.setting,
        "object": view.object,
        "instruction": view.instruction,
        "success": view.success,
        "timeout_s": view.timeout_s,
        "sub_tasks": [{"name": step.name, "text": step.text} for step in view.sub_tasks],
        "checklist": list(view.checklist),
        "environment": [[what, value] for what, value in view.environment.items()],
        "changes": [[what, value] for what, value in view.changes.items()],
        "places": list(view.picture.lines()),
        "picture": _picture(view.picture),
        "failures": list(FAILURES),
        "needs_target_box": view.needs_target_box,
    }


@lru_cache(maxsize=2)
def _picture(picture: PlacementPicture) -> str:
    """Return the placement picture as SVG without its title, which is the panel's; drawn once for a trial."""
    return placement_svg(replace(picture, title=""))
