"""What a tab may say: one button each, checked before anything is done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vla3d_ros.errors import ShapeError

REQUESTS = (
    "arm", "disarm", "stop", "reset", "home",
    "record_start", "record_stop", "record_success", "record_failure", "record_discard",
)  # fmt: skip
"""Buttons that are one service of the graph."""

ACTIONS = (*REQUESTS, "instruct", "place", "note", "desk")
DESK_ANSWERS = ("ready", "end", "judge", "leave")
_LONGEST_TEXT = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class PageMessage:
    """One press: `text` for instructions and notes, `seed` for scenes of the twin, `answer` for the trial panel."""

    action: str
    text: str = ""
    seed: int = 0
    answer: Mapping[str, Any] = field(default_factory=dict)


def read_page_message(raw: str | bytes) -> PageMessage:
    """Return what a tab said.

    Raises:
        ShapeError: If it is not one of the page's messages.
    """
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or not _is_action(content.get("do")):
        raise ShapeError(f"a tab said {str(raw)[:80]!r}; expected an object whose 'do' is one of {list(ACTIONS)}")
    text, seed, answer = content.get("text", ""), content.get("seed", 0), content.get("answer", {})
    problems = []
    if not isinstance(text, str) or len(text) > _LONGEST_TEXT:
        problems.append(f"'text' is not a text of at most {_LONGEST_TEXT} characters")
    if type(seed) is not int or not 0 <= seed < 2**31:
        problems.append(f"'seed' is {seed!r}; expected a whole number from 0")
    if not isinstance(answer, dict) or (content["do"] == "desk" and answer.get("say") not in DESK_ANSWERS):
        problems.append(f"'answer' is no object whose 'say' is one of {list(DESK_ANSWERS)}")
    if problems:
        raise ShapeError(f"a tab pressed '{content['do']}': {'; '.join(problems)}")
    return PageMessage(action=content["do"], text=text, seed=seed, answer=answer)


def _is_action(name: object) -> bool:
    return isinstance(name, str) and name in ACTIONS
