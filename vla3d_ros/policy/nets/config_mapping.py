"""Frozen dataclasses to plain mappings and back, strictly: nothing missing, nothing unknown, nothing mistyped."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Collection, Mapping
from typing import Any, get_args, get_origin, get_type_hints


def dataclass_to_mapping(config: Any) -> dict[str, Any]:
    """Return the fields of a dataclass as plain values: nested mappings, lists for tuples, None for what is absent."""
    return {entry.name: _plain(getattr(config, entry.name)) for entry in dataclasses.fields(config)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return dataclass_to_mapping(value)
    return list(value) if isinstance(value, tuple) else value


def read_dataclass(
    kind: type[Any], mapping: Any, problems: list[str], *, optional: Collection[str] = (), where: str = ""
) -> dict[str, Any]:
    """Read the fields of a dataclass.

    Args:
        kind: The dataclass; every field has a default, which stands in for a value that was wrong.
        mapping: What a YAML parser returned.
        problems: Gets one sentence per offender.
        optional: Fields that may be missing; they are then None.
        where: Prefix of the keys in sentences, e.g. `expert.`.

    Returns:
        Values by field name, usable only if no problem was added.
    """
    if not isinstance(mapping, Mapping):
        problems.append(f"'{where.rstrip('.') or 'config'}' is {mapping!r}; expected a mapping")
        mapping = {}
    hints = get_type_hints(kind)
    fields = {entry.name: entry for entry in dataclasses.fields(kind)}
    for name in sorted(set(map(str, mapping)) - set(fields)):
        problems.append(f"'{where}{name}' is unknown; expected one of {sorted(fields)}")
    values: dict[str, Any] = {}
    for name, entry in fields.items():
        values[name] = None if name in optional else entry.default
        if name in mapping:
            values[name] = _value(hints[name], mapping[name], entry.default, problems, f"{where}{name}")
        elif name not in optional:
            problems.append(f"'{where}{name}' is missing")
    return values


def _value(hint: Any, value: Any, default: Any, problems: list[str], where: str) -> Any:
    if isinstance(hint, types.UnionType):
        hint = next(choice for choice in get_args(hint) if choice is not types.NoneType)
        default = hint()
    if dataclasses.is_dataclass(hint):
        assert isinstance(hint, type)
        found = len(problems)
        values = read_dataclass(hint, value, problems, where=f"{where}.")
        return default if len(problems) > found else hint(**values)
    if get_origin(hint) is tuple:
        return _tuple(get_args(hint), value, default, problems, where)
    if _fits(hint, value):
        return float(value) if hint is float else value
    problems.append(f"'{where}' is {value!r}; expected {_NAMES[hint]}")
    return default


def _tuple(kinds: tuple[Any, ...], value: Any, default: Any, problems: list[str], where: str) -> Any:
    count = None if kinds[-1] is Ellipsis else len(kinds)
    is_list = isinstance(value, (list, tuple)) and (count is None or len(value) == count)
    if is_list and all(_fits(kinds[0], item) for item in value):
        return tuple(float(item) if kinds[0] is float else item for item in value)
    problems.append(f"'{where}' is {value!r}; expected a list of {'' if count is None else count} {_NAMES[kinds[0]]}")
    return default


_NAMES = {int: "whole number", float: "finite number", bool: "true or false", str: "text"}


def _fits(kind: Any, value: Any) -> bool:
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)
