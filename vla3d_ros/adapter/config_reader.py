"""Strict reading of one YAML mapping: every problem is collected, every unknown key is refused."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


class ConfigReader:
    """Read typed values by key and remember what was wrong, so that a user sees all of it at once.

    A wrong value is replaced by a harmless one of the right type; the caller must not use the result when `problems`
    is not empty after `finish`.
    """

    def __init__(self, mapping: Any, *, where: str, problems: list[str] | None = None) -> None:
        """Wrap a parsed mapping.

        Args:
            mapping: What the YAML parser returned.
            where: Prefix for messages, e.g. `arms[0].`.
            problems: Shared list of the enclosing reader.
        """
        self.problems: list[str] = [] if problems is None else problems
        self._where = where
        self._used: set[str] = set()
        self._mapping: dict[str, Any] = mapping if isinstance(mapping, dict) else {}
        if not isinstance(mapping, dict):
            self.problems.append(f"'{where.rstrip('.') or 'file'}' is {mapping!r}; expected a mapping")

    def has(self, key: str) -> bool:
        """Whether the key is present."""
        return key in self._mapping

    def text(self, key: str) -> str:
        """Return a non-empty string."""
        value = self._take(key)
        if isinstance(value, str) and value:
            return value
        return str(self._reject(key, value, "a non-empty text", ""))

    def number(self, key: str) -> float:
        """Return a finite number."""
        value = self._take(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        return float(self._reject(key, value, "a finite number", 1.0))

    def positive(self, key: str) -> float:
        """Return a finite number above zero."""
        value = self.number(key)
        return value if value > 0 else float(self._reject(key, value, "a number above zero", 1.0))

    def vector(self, key: str, count: int) -> Float:
        """Return a (count,) float64 array of finite numbers."""
        value = self._take(key)
        try:
            array = np.array(value, dtype=np.float64)
        except (TypeError, ValueError):
            array = np.full(1, np.nan)
        if array.shape == (count,) and np.isfinite(array).all():
            return array
        return np.asarray(self._reject(key, value, f"a list of {count} finite numbers", np.zeros(count)))

    def flag(self, key: str) -> bool:
        """Return true or false."""
        value = self._take(key)
        return value if isinstance(value, bool) else bool(self._reject(key, value, "true or false", False))

    def numbers(self, key: str) -> Float:
        """Return a list of any length, of finite numbers."""
        value = self._mapping.get(key)
        return self.vector(key, len(value) if isinstance(value, list) else 1)

    def choice(self, key: str, options: Collection[str]) -> str:
        """Return one of the options."""
        value = self._take(key)
        if isinstance(value, str) and value in options:
            return value
        return str(self._reject(key, value, f"one of {list(options)}", next(iter(options))))

    def names(self, key: str, count: int | None = None) -> tuple[str, ...]:
        """Return distinct, non-empty names: count of them, or at least one."""
        value = self._take(key)
        is_list = isinstance(value, list) and bool(value) and all(isinstance(name, str) and name for name in value)
        if is_list and len(set(value)) == len(value) and count in (None, len(value)):
            return tuple(value)
        return tuple(self._reject(key, value, f"a list of {count or ''} distinct names".replace("  ", " "), ()))

    def section(self, key: str) -> ConfigReader:
        """Return a reader of the mapping under the key."""
        return ConfigReader(self._take(key), where=f"{self._where}{key}.", problems=self.problems)

    def sections(self, key: str) -> tuple[ConfigReader, ...]:
        """Return readers of the mappings in the list under the key, at least one."""
        value = self._take(key)
        if not isinstance(value, list) or not value:
            self._reject(key, value, "a list of at least one mapping", None)
            return ()
        prefix = f"{self._where}{key}"
        return tuple(
            ConfigReader(entry, where=f"{prefix}[{i}].", problems=self.problems) for i, entry in enumerate(value)
        )

    def finish(self, optional: Collection[str] = ()) -> None:
        """Report every key nobody asked for; `optional` names keys that might have been asked for."""
        for key in self._mapping:
            if key not in self._used:
                expected = sorted({*self._used, *optional})
                self.problems.append(f"unknown key '{self._where}{key}'; expected one of {expected}")

    def _take(self, key: str) -> Any:
        self._used.add(key)
        return self._mapping.get(key)

    def _reject(self, key: str, value: Any, expected: str, substitute: Any) -> Any:
        got = f"is {value!r}" if key in self._mapping else "is missing"
        self.problems.append(f"'{self._where}{key}' {got}; expected {expected}")
        return substitute
