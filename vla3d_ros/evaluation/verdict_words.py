"""What the safety gate's verdicts mean to a reader: a chunk that is refused is no stop of the arm."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from vla3d_ros.execution_result import REFUSED_ONLY

_NOTHING = "–"
_ONLY_REFUSED = REFUSED_ONLY | {"arm"}  # to refuse to arm moves nothing either


def verdict_kind(kind: str, checks: Collection[str]) -> str:
    """Return allow, clamp, refuse or stop.

    On the wire, "stop" also says that one chunk was not followed, e.g. because several had been held up and came at
    once. The arm then goes on with the chunk before, so this is called "refuse" here.

    Args:
        kind: As on the wire: allow, clamp or stop.
        checks: Names of the checks that objected.
    """
    return "refuse" if kind == "stop" and checks and set(checks) <= _ONLY_REFUSED else kind


def objections(values: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the checks that objected: of a verdict's named values, those that are no numbers."""
    return tuple(name for name, value in values.items() if not _is_number(value))


def verdict_text(counts: Mapping[str, int]) -> str:
    """Return counts in words, e.g. "208 allowed, 63 clamped, 1 chunk refused"; a dash without any."""
    words = {
        "allow": "allowed",
        "clamp": "clamped",
        "refuse": "chunk refused" if counts.get("refuse") == 1 else "chunks refused",
        "stop": "stop of the arm" if counts.get("stop") == 1 else "stops of the arm",
    }
    known = [f"{counts[kind]} {text}" for kind, text in words.items() if counts.get(kind)]
    other = [f"{count} {kind}" for kind, count in sorted(counts.items()) if kind not in words and count]
    return ", ".join(known + other) or _NOTHING


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
