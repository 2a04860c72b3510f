"""A hand counts only between pressing and releasing its clutch, and only if it was seen released before."""

from __future__ import annotations

from enum import Enum


class ClutchState(Enum):
    """OPEN: hold. CLOSED: follow. LOCKED: hold until the clutch was seen released."""

    OPEN = "open"
    CLOSED = "closed"
    LOCKED = "locked"


class Clutch:
    """The clutch of one arm. It starts locked: a clutch that is pressed already when all begins does not count."""

    def __init__(self) -> None:
        self.state = ClutchState.LOCKED

    def lock(self) -> None:
        """Hold until the clutch was released: the device was lost, or the arm does not follow."""
        self.state = ClutchState.LOCKED

    def update(self, is_pressed: bool) -> bool:
        """Take a look at a clutch that is heard.

        Returns:
            Whether it has just been closed.
        """
        if not is_pressed:
            self.state = ClutchState.OPEN
            return False
        if self.state is not ClutchState.OPEN:
            return False
        self.state = ClutchState.CLOSED
        return True

    @property
    def is_closed(self) -> bool:
        """Whether the hand is followed."""
        return self.state is ClutchState.CLOSED
