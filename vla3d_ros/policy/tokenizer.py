"""Instructions as numbers, without a vocabulary file: words are hashed into buckets."""

from __future__ import annotations

import re
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import InstructionError

_WORD = re.compile(r"[^\W_]+", re.UNICODE)


class HashedWords:
    """Words of a text as bucket numbers 1 ... buckets - 1; 0 pads. The same on every machine and in every process."""

    def __init__(self, buckets: int, length: int) -> None:
        """Take sizes.

        Args:
            buckets: Rows of the embedding table, the padding's included.
            length: Most words of an instruction.
        """
        self._buckets = buckets
        self._length = length

    def encode(self, text: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return tokens (L,) and where there is a word (L,).

        Raises:
            InstructionError: If the text has more words than fit.
        """
        words = _WORD.findall(text.lower())
        if len(words) > self._length:
            raise InstructionError(
                f"instruction '{text}' has {len(words)} words; the policy reads at most {self._length}: say it shorter"
            )
        tokens = np.zeros(self._length, np.int64)
        tokens[: len(words)] = [self._bucket(word) for word in words]
        return tokens, np.arange(self._length) < len(words)

    def _bucket(self, word: str) -> int:
        number = int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "little")
        return 1 + number % (self._buckets - 1)
