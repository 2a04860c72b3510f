"""The page: what was asked, what was found, how to repeat it. Markdown, written anew from the journals every time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vla3d_ros.evaluation.evidence.live import LiveResult
from vla3d_ros.evaluation.evidence.results import MET, MISSED, CellResult, Difference, Evidence, rate_words
from vla3d_ros.evaluation.evidence.spatial_truth import SpatialCounts
from vla3d_ros.evaluation.evidence.trial import FAILURES

_STATES = {MET: "**met**", MISSED: "**missed**"}
_NOTHING = "–"
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFacts:
    """What the page tells beside the evidence.

    Attributes:
        command: The line that runs everything.
        pictures: Path of each drawing as the page links it, by name; what is not there is left out.
        titles: Of variations, by name.
        identities: What trials were made of: digests by title.
        sessions: Machines and processes that ran trials, one sentence each.
        spatial: Of the checked variant, counts by variation.
        live: Trials through the live graph.
        live_command: The line that runs those.
    """

    command: str
    pictures: Mapping[str, str] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    identities: Mapping[str, str] = field(default_factory=dict)
    sessions: Sequence[str] = ()
    spatial: Mapping[str, SpatialCounts] = field(default_factory=dict)
    live: Sequence[LiveResult] = ()
    live_command: str = ""


def evidence_page(evidence: Evidence, facts: PageFacts) -> str:
    """Return the page's text."""
    parts = [
        _head(evidence, facts),
        _verdicts(evidence),
        _rates(evidence, facts),
        _differences(evidence, facts),
        _failures(evidence, facts),
        _times(evidence, facts),
        _spatial(evidence, facts),
        _live(facts),
        _method(evidence, facts),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _head(evidence: Evidence, facts: PageFacts) -> list[str]:
    plan = evidence.plan
    lines = [f"# {plan.title}: batch trials in the twin", "", f"`{facts.command}`", ""]
    wanted = plan.trials * len(plan.cells())
    missing = sum(evidence.missing(cell) for cell in plan.cells())
    if missing:
        lines += [f"**Not finished: {wanted - missing} of {wanted} trials. What follows is what they say so far.**", ""]
    lines += [
        f"{plan.trials} trials of every variant under every variation, on the same scenes. A trial succeeds when the",
        "named cube rests on the named pad, let go of, for half a second; the twin's truth decides. Intervals: 95 %.",
        "",
        *_table(("variant", "is", "policy"), [(v.name, v.title, f"`{v.policy}`") for v in plan.variants]),
        "",
        *_table(("variation", "means"), [(name, facts.titles.get(name, "")) for name in plan.variations]),
    ]
    return lines


def _verdicts(evidence: Evidence) -> list[str]:
    if not evidence.verdicts:
        return []
    rows = [(verdict.asked, verdict.found, _STATES.get(verdict.state, "open")) for verdict in evidence.verdicts]
    return ["## What was asked for", "", *_table(("asked", "found", ""), rows)]


def _rates(evidence: Evidence, facts: PageFacts) -> list[str]:
    lines = ["## Success", ""]
    lines += _by_variation(evidence, lambda cell: _rate(evidence, cell))
    return lines + _picture(facts, "rates", "Success rates with intervals")


def _rate(evidence: Evidence, cell: CellResult) -> str:
    so_far = f" of {cell.rate.trials}" if cell.rate.trials < evidence.plan.trials else ""
    return f"{rate_words(cell.rate)}{so_far}"


def _differences(evidence: Evidence, facts: PageFacts) -> list[str]:
    if not evidence.differences:
        return []
    count = len(evidence.differences)
    lines = [
        "## Differences",
        "",
        "Over the scenes that both were tried on. Interval: Tango's, for pairs. p: McNemar's exact test; corrected:",
        f"Holm's over all {count} differences of this page. A large p never means equal.",
    ]
    for first, second in evidence.plan.comparisons:
        shown = [one for one in evidence.differences if (one.first, one.second) == (first, second)]
        if shown:
            headings = ("variation", "pairs", f"{first} − {second}, points", "only the first", "only the second")
            lines += ["", f"### {first} − {second}", ""]
            lines += _table((*headings, "p", "corrected"), [_difference_row(one) for one in shown])
    return lines + _picture(facts, "differences", "Differences with intervals")


def _difference_row(one: Difference) -> tuple[str, ...]:
    points = f"{100 * one.difference:+.1f} [{100 * one.low:+.1f}, {100 * one.high:+.1f}]"
    counts = (str(one.pairs.first_only), str(one.pairs.second_only))
    return (one.variation, str(one.pairs.pairs), points, *counts, f"{one.p_value:.2g}", f"{one.p_corrected:.2g}")


def _failures(evidence: Evidence, facts: PageFacts) -> list[str]:
    rows = []
    for cell in evidence.plan.cells():
        found = evidence.cells.get(cell)
        if found is not None and found.failures:
            counts = [str(found.failures.get(kind, 0) or _NOTHING) for kind in FAILURES]
            rows.append((*cell, f"{sum(found.failures.values())} of {found.rate.trials}", *counts))
    if not rows:
        return ["## How trials failed", "", "None did." if evidence.cells else "No trial yet."]
    lines = ["## How trials failed", "", "By the last milestone a trial reached, or what ended it before.", ""]
    lines += _table(("variant", "variation", "failed", *FAILURES), rows)
    return lines + _picture(facts, "failures", "How trials failed")


def _times(evidence: Evidence, facts: PageFacts) -> list[str]:
    def median(cell: CellResult) -> str:
        return _NOTHING if cell.success_time_s is None else f"{cell.success_time_s:.1f}"

    lines = ["## Time to success", "", "Median of the trials that succeeded, seconds of the world's time.", ""]
    lines += _by_variation(evidence, median)
    return lines + _picture(facts, "times", "Share that had succeeded, over time")


def _spatial(evidence: Evidence, facts: PageFacts) -> list[str]:
    if not facts.spatial:
        return []
    check = evidence.plan.spatial
    headings = list(SpatialCounts().shares())
    rows = [(name, *map(_share, counts.shares().values())) for name, counts in facts.spatial.items()]
    lines = [
        "## Where it believes things are",
        "",
        f"`{check.variant}` on {check.scenes} scenes of each variation that no trial and no demonstration has,",
        f"{' and '.join(f'{at_s:g}' for at_s in check.at_s)} s into the trial, against the twin's truth. Visible: some",
        "view shows a quarter of the object's outline or more. The picture has the first scene of each variation.",
        "",
        *_table(("variation", *headings), rows),
    ]
    return lines + _picture(facts, "spatial", "Instances and completion points over what the policy saw")


def _share(counted: tuple[int, int]) -> str:
    some, of_all = counted
    return f"{100 * some / of_all:.0f} % ({some}/{of_all})" if of_all else _NOTHING


def _live(facts: PageFacts) -> list[str]:
    lines = ["## Through the live ROS graph", "", f"`{facts.live_command}`", ""]
    if not facts.live:
        return [*lines, "Not run yet."] if facts.live_command else []
    rows = [
        (
            live.policy,
            f"{live.rate.successes} of {live.rate.trials}, {rate_words(live.rate)}",
            f"{live.chunks_per_s:.1f} / {live.chunks_per_wall_s:.1f}",
            f"{live.real_time_factor:.2f}",
            f"{_ms(live.latency_p50_ms)} / {_ms(live.latency_p99_ms)}",
        )
        for live in facts.live
    ]
    headings = (
        "policy",
        "success",
        "chunks a second, ROS / wall time",
        "ROS seconds per wall second",
        "stamp to chunk p50 / p99, ms",
    )
    return [*lines, *_table(headings, rows)]


def _ms(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.0f}"


def _method(evidence: Evidence, facts: PageFacts) -> list[str]:
    plan = evidence.plan
    trials = sum(cell.rate.trials for cell in evidence.cells.values())
    wall_s = sum(cell.wall_s for cell in evidence.cells.values())
    cost = f" They took {wall_s / _HOUR_S:.1f} hours of a core, {wall_s / trials:.1f} s each." if trials else ""
    nudged = f" In {100 * plan.nudge_share:g} % of the trials the cube is pushed aside." if plan.nudge_share else ""
    return [
        "## How it was done",
        "",
        f"- Trial i has the scene drawn from ({plan.seed}, i) in every cell. What a variation draws is drawn apart:",
        "  objects lie in the same places under every variation that leaves them alone.",
        f"- A chunk arrives {plan.latency_ms:g} ms after its observation's capture, before what a variation adds.",
        f"- A trial ends after {plan.timeout_s:g} s of the world's time.{nudged}",
        "- The nodes' own cores run in one process, without ROS: nothing waits for a clock, and the same trial always",
        f"  has the same end.{cost}",
        "- The command goes on where it was interrupted, at the very trial, and refuses to mix trials of different",
        "  packages, settings, code or libraries. With every trial done, it only writes this page again; `--page` does",
        "  that alone.",
        *[f"- {session}" for session in facts.sessions],
        "",
        *_table(("made of", "digest or version"), [(name, f"`{value}`") for name, value in facts.identities.items()]),
    ]


def _by_variation(evidence: Evidence, words: Any) -> list[str]:
    """Return a table with a row for every variation and a column for every variant."""
    plan = evidence.plan
    names = [variant.name for variant in plan.variants]
    rows = []
    for variation in plan.variations:
        cells = [evidence.cells.get((name, variation)) for name in names]
        rows.append((variation, *(_NOTHING if cell is None else words(cell) for cell in cells)))
    return _table(("variation", *names), rows)


def _picture(facts: PageFacts, name: str, title: str) -> list[str]:
    return ["", f"![{title}]({facts.pictures[name]})"] if name in facts.pictures else []


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]
