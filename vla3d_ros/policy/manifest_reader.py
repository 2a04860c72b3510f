"""Reads a mapping strictly: every value is asked for with its type, every problem is kept, none stops the reading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Value = TypeVar("Value")

_MISSING = object()


class MappingReader:
    """One section of a file. Problems of all sections go to one list; a wrong value reads as a harmless one."""

    def __init__(self, content: Any, where: str, problems: list[str]) -> None:
        """Take a section.

        Args:
            content: What the file has there.
            where: What to call it, e.g. `views[0]`; empty at the top.
            problems: Where problems are added.
        """
        self._problems = problems
        self._where = where
        self._asked: set[str] = set()
        self._content: dict[Any, Any] = content if isinstance(content, dict) else {}
        if not isinstance(content, dict):
            problems.append(f"{where or 'the file'} is {type(content).__name__}; expected a mapping")

    def complain(self, problem: str) -> None:
        """Add a problem of this section."""
        self._problems.append(f"{self._where}: {problem}" if self._where else problem)

    def has(self, key: str) -> bool:
        """Whether the section has a key; asking makes it a known one."""
        self._asked.add(key)
        return self._content.get(key) is not None

    def text(self, key: str, choices: Sequence[str] = (), default: Any = _MISSING) -> str:
        """Return a string, one of `choices` if there are any."""
        value = self._value(key, default)
        if not isinstance(value, str) or not value:
            return self._wrong(key, value, "expected a text", "")
        if choices and value not in choices:
            return self._wrong(key, value, f"expected one of {list(choices)}", choices[0])
        return value

    def whole(self, key: str, at_least: int, default: Any = _MISSING) -> int:
        """Return an integer."""
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            return self._wrong(key, value, f"expected a whole number, at least {at_least}", at_least)
        return value

    def number(self, key: str, at_least: float, default: Any = _MISSING) -> float:
        """Return a finite float."""
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not at_least <= value < np.inf:
            return self._wrong(key, value, f"expected a number, at least {at_least:g}", at_least)
        return float(value)

    def flag(self, key: str, default: Any = _MISSING) -> bool:
        """Return a bool."""
        value = self._value(key, default)
        if not isinstance(value, bool):
            return self._wrong(key, value, "expected true or false", False)
        return value

    def texts(self, key: str, default: Any = _MISSING) -> tuple[str, ...]:
        """Return a list of strings."""
        value = self._value(key, default)
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) and item for item in value):
            self._wrong(key, value, "expected a list of texts", None)
            return ()
        return tuple(value)

    def array(self, key: str, shape: tuple[int, ...], above: float | None = None) -> Float:
        """Return a finite float64 array, every number above a bound if there is one."""
        value = self._value(key, _MISSING)
        ones = np.ones(shape)
        try:
            array = np.array(value, dtype=np.float64)
        except (TypeError, ValueError):
            return self._wrong(key, value, f"expected numbers of shape {shape}", ones)
        if array.shape != shape:
            return self._wrong(key, f"of shape {array.shape}", f"expected {shape}", ones)
        if not np.isfinite(array).all():
            return self._wrong(key, f"not finite at {np.argwhere(~np.isfinite(array)).tolist()}", "compute again", ones)
        if above is not None and not (array > above).all():
            return self._wrong(
                key, f"{array[array <= above].tolist()} somewhere", f"expected more than {above:g} everywhere", ones
            )
        return array

    def mapping(self, key: str, default: Any = _MISSING) -> dict[str, Any]:
        """Return a mapping as it is, to be judged elsewhere."""
        value = self._value(key, default)
        if not isinstance(value, dict):
            self._wrong(key, value, "expected a mapping", None)
            return {}
        return value

    def section(self, key: str) -> MappingReader:
        """Return a reader of the section below a key."""
        return MappingReader(self._value(key, {}), self._name(key), self._problems)

    def sections(self, key: str) -> list[MappingReader]:
        """Return a reader for each item of a list."""
        value = self._value(key, _MISSING)
        if not isinstance(value, list) or not value:
            self._wrong(key, value, "expected a list of at least one mapping", None)
            return []
        return [MappingReader(item, f"{self._name(key)}[{index}]", self._problems) for index, item in enumerate(value)]

    def named_sections(self, key: str) -> dict[str, MappingReader]:
        """Return a reader for each value of a mapping."""
        content = self.mapping(key)
        return {str(n): MappingReader(item, f"{self._name(key)}.{n}", self._problems) for n, item in content.items()}

    def finish(self) -> None:
        """Complain about keys nobody asked for."""
        unknown = sorted(str(key) for key in self._content if key not in self._asked)
        for key in unknown:
            self.complain(f"unknown key '{key}': expected some of {sorted(self._asked)}")

    def _name(self, key: str) -> str:
        return f"{self._where}.{key}" if self._where else key

    def _value(self, key: str, default: Any) -> Any:
        self._asked.add(key)
        if key in self._content:
            return self._content[key]
        return default

    def _wrong(self, key: str, value: Any, expected: str, instead: Value) -> Value:
        shown = "missing" if value is _MISSING else f"is {value if isinstance(value, str) else repr(value)}"
        self.complain(f"'{key}' {shown[:200]}; {expected}")
        return instead
