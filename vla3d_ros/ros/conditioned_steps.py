"""How a chunk's message says which steps the policy conditioned on what is executed meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

from geometry_msgs.msg import Transform

from vla3d_ros.errors import ShapeError

CONDITIONED = "conditioned"
"""Name of the column; absent if the policy conditioned none."""


def conditioned_mark(is_conditioned: bool) -> Transform:
    """Return a step's entry in the column: 1 in translation.x if it is conditioned, else 0."""
    mark = Transform()
    mark.translation.x = float(is_conditioned)
    return mark


def conditioned_steps(rows: Sequence[Sequence[Transform]], column: int | None) -> int:
    """Count the conditioned steps: those that lead.

    Args:
        rows: The transforms of each step.
        column: Which of them is the mark; None if there is none.

    Raises:
        ShapeError: If a conditioned step follows one that is not.
    """
    if column is None:
        return 0
    marks = [row[column].translation.x for row in rows]
    count = sum(mark == 1.0 for mark in marks)
    if marks != [1.0] * count + [0.0] * (len(marks) - count):
        raise ShapeError(f"chunk marks steps as conditioned with {marks}; expected 1 for leading steps, then 0")
    return count
