"""Markers in a replay, in words: for the terminal and for the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from vla3d_ros.errors import ConfigError
from vla3d_ros.replay.markers import MarkerFinding, MarkerSurvey

_HEAD = ("marker", "", "cameras", "sides / mm", "mean", "spread", "nominal", "rays miss", "height spread")
_TEXT = (
    "Corners triangulated from the views of the replay through the calibration in force. The sides of a printed marker "
    "are equal, and markers of one print are of one size: spreads and the miss of the rays tell how well the cameras "
    "agree. A marker that rests is measured once, from medians; one that moves, at every observation."
)


def marker_survey(words: Sequence[str]) -> MarkerSurvey | None:
    """Return a survey for `DICTIONARY [ID=MM ...]`, None for no words.

    Raises:
        ConfigError: If a side is not understood, or the dictionary unknown.
    """
    if not words:
        return None
    try:
        sides = {int(marker): float(side) for marker, _, side in (word.partition("=") for word in words[1:])}
    except ValueError as error:
        raise ConfigError(f"--markers {' '.join(words)}: {error}; expected DICT_4X4_50 9=39") from error
    return MarkerSurvey(words[0], sides)


def marker_sections(findings: Sequence[MarkerFinding]) -> list[dict[str, Any]]:
    """Return the report's section."""
    if not findings:
        return []
    return [{"title": "Markers", "text": _TEXT, "head": _HEAD, "rows": [_row(finding) for finding in findings]}]


def print_markers(findings: Sequence[MarkerFinding], console: Console) -> None:
    """Print the findings as a table."""
    if not findings:
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in _HEAD:
        table.add_column(heading)
    for finding in findings:
        table.add_row(*_row(finding))
    console.print(table)


def _row(finding: MarkerFinding) -> tuple[str, ...]:
    nominal = "not known" if finding.nominal_mm is None else f"{finding.nominal_mm:g} ({finding.side_error_mm:+.2f})"
    return (
        str(finding.marker),
        "rests" if finding.rests else f"moves, {finding.sets} sets",
        ", ".join(finding.cameras),
        " ".join(f"{side:.2f}" for side in finding.sides_mm),
        f"{finding.side_mean_mm:.2f}",
        f"{finding.side_spread_mm:.2f}",
        nominal,
        f"{finding.rays_miss_mm:.2f}",
        f"{finding.height_spread_mm:.2f}",
    )
