"""Notices messages that were published and never arrived, by the numbers that publishers give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NUMBER, _PUBLISHER = "publication_sequence_number", "publisher_gid"


class SequenceWatch:
    """One topic. ROS before Jazzy, and some middlewares, give no numbers: then nothing can be noticed."""

    def __init__(self) -> None:
        self._newest: dict[bytes, int] = {}

    def missed(self, info: Mapping[str, Any]) -> int:
        """Return how many messages of the same publisher are missing before this one.

        Args:
            info: What the middleware tells of a message.
        """
        number, publisher = info.get(_NUMBER), info.get(_PUBLISHER)
        if not isinstance(number, int) or publisher is None:
            return 0
        key = bytes(publisher["data"]) if isinstance(publisher, Mapping) else bytes(publisher)
        before = self._newest.get(key, number - 1)
        self._newest[key] = max(before, number)
        return max(0, number - before - 1)
