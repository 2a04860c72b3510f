"""The page of one replay: what changed, by how much, what the worst moments looked like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from vla3d_ros.errors import RecordingError
from vla3d_ros.evaluation.figures import jpeg_data_uri
from vla3d_ros.replay.comparison import QUANTITIES
from vla3d_ros.replay.figures import compute_svg, horizon_svg, timeline_svg, verdicts_svg
from vla3d_ros.replay.moments import Moment, draw_moments
from vla3d_ros.replay.offline import OfflineReplay
from vla3d_ros.replay.verdict import ReplayOutcome, timing_json

_TEMPLATES = Path(__file__).parent / "templates"
_MOMENTS, _APART_S = 3, 0.5


def write_replay_report(
    path: Path,
    outcome: ReplayOutcome,
    offline: OfflineReplay,
    sections: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write one self-contained page.

    Args:
        path: HTML file.
        outcome: What came of the replay.
        offline: Where its observations come from, for the pictures.
        sections: Further tables: title, text, head (words), rows (words each).

    Raises:
        RecordingError: If the page can not be written.
    """
    comparison, replay = outcome.comparison, outcome.replay
    worst = comparison.worst_moments(_MOMENTS, _APART_S) if comparison is not None else ()
    replayed = {chunk.record.stamp_ns: chunk.record for chunk in replay.chunks}
    start_ns = outcome.run.start_ns
    moments = draw_moments(offline, worst, replayed, outcome.reference)
    figures = [compute_svg(replay, outcome.run), verdicts_svg(replay, start_ns)]
    if comparison is not None and comparison.identical < len(comparison.differences):
        figures = [timeline_svg(comparison, start_ns), horizon_svg(comparison), *figures]
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    page = environment.get_template("replay.html.j2").render(
        outcome=outcome,
        bag=outcome.run.path.name,
        tiles=_tiles(outcome),
        figures=[figure for figure in figures if figure is not None],
        moments=[_moment(moment, start_ns) for moment in moments],
        sections=sections,
        facts=_facts(outcome),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise RecordingError(f"{path} can not be written: {error}; choose a writable folder") from error


def _tiles(outcome: ReplayOutcome) -> list[tuple[str, str]]:
    comparison, timing = outcome.comparison, timing_json(outcome.replay, outcome.run)
    tiles = []
    if comparison is not None:
        tiles.append(("Identical chunks", f"{comparison.identical} of {len(comparison.differences)}"))
        tiles += [
            (f"Worst {name}", f"{_short(comparison.worst(name))} {unit.replace('deg', '°')}")
            for name, unit in QUANTITIES.items()
        ]
    if compute := timing["compute_ms"]:
        tiles.append(("Inference p50 / p99", f"{_short(compute['p50'])} / {_short(compute['p99'])} ms"))
    tiles.append(("Speed", f"{timing['times_real_time']:.1f} × real time"))
    tiles.append(("Stopped / refused", f"{_count(outcome, 'stop')} / {_count(outcome, 'refuse')}"))
    return tiles


def _facts(outcome: ReplayOutcome) -> list[tuple[str, str]]:
    replay, run, (equal, total) = outcome.replay, outcome.run, outcome.rebuilt
    instructions = list(dict.fromkeys(text for _, text in run.instructions if text))
    facts = [
        ("Bag", str(run.path)),
        ("Instruction", " · ".join(instructions) or "none"),
        ("Recorded", f"{run.duration_ns / 1e9:.1f} s, {len(run.layout.images)} cameras, {len(run.chunks)} chunks"),
        ("Observations", f"{replay.observations} used, {len(replay.unanswered)} without a chunk"),
    ]
    if total:
        facts.append(("As the live policy saw them", f"{equal} of {total} observations, in every number"))
    if replay.objections:
        facts.append(("Objections", ", ".join(f"{count} {check}" for check, count in replay.objections.items())))
    return [*facts, ("Digest of all chunks and verdicts", replay.digest)]


def _moment(moment: Moment, start_ns: int) -> dict[str, Any]:
    difference = moment.difference
    step = int(np.argmax(difference.position_mm)) + 1
    return {
        "time": f"{(difference.stamp_ns - start_ns) / 1e9:.2f} s",
        "stamp": difference.stamp_ns,
        "text": f"{_short(difference.worst('position'))} mm at step {step}, {_short(difference.worst('rotation'))}°, "
        f"gripper {_short(difference.worst('gripper'))} mm",
        "images": [(camera, jpeg_data_uri(image)) for camera, image in moment.images.items()],
    }


def _count(outcome: ReplayOutcome, kind: str) -> int:
    return outcome.replay.verdicts.get(kind, 0)


def _short(value: float) -> str:
    if 0 < value < 0.001:
        return "< 0.001"
    return "0" if value == 0 else f"{value:.2g}" if value < 0.1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"
