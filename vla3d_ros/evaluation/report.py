"""One self-contained page per run: what succeeded, what it looked like, how the time went."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray

from vla3d_ros.datatypes import JointLimits
from vla3d_ros.errors import RecordingError
from vla3d_ros.evaluation.episode_metrics import EpisodeMetrics, measure_episode
from vla3d_ros.evaluation.figures import joints_svg, jpeg_data_uri, latency_svg, path_svg
from vla3d_ros.evaluation.statistics import percentile, wilson_interval
from vla3d_ros.evaluation.trial import TrialResult
from vla3d_ros.evaluation.verdict_words import verdict_text
from vla3d_ros.recording.episode_reader import read_episode
from vla3d_ros.recording.episode_trace import CameraTrack, EpisodeTrace

Float = NDArray[np.float64]

_TEMPLATES = Path(__file__).parent / "templates"
_PERCENT = 100.0
_NOTHING = "–"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Section:
    """One trial as the page shows it; drawings are ready-made so that no recording stays in memory."""

    result: TrialResult
    latency_ms: Float
    compute_ms: Float
    facts: Sequence[tuple[str, str]]
    cameras: Sequence[Mapping[str, str]]
    figures: Sequence[str]
    notes: Sequence[str]


def write_report(
    run_dir: Path, trials: Sequence[TrialResult], *, title: str, limits: Sequence[JointLimits] = ()
) -> tuple[TrialResult, ...]:
    """Write `report.html` into a run's directory.

    Args:
        run_dir: Directory of the run; the bags named by the trials are relative to it.
        trials: Results; those without a readable bag get a section that says so.
        title: What was run, e.g. the deployment's name.
        limits: Joint limits of every arm, for the use of joints.

    Returns:
        The trials, with what was not measured yet filled in from their bags.

    Raises:
        RecordingError: If the page can not be written.
    """
    sections = [_section(run_dir, trial, limits) for trial in trials]
    completed = tuple(section.result for section in sections)
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(title=title, run=run_dir.name, sections=sections, **_headline(sections))
    )
    _write(run_dir / "report.html", page)
    return completed


def write_trials_json(run_dir: Path, trials: Sequence[TrialResult], path: Path | None = None) -> Path:
    """Write the results for programs.

    Args:
        run_dir: Directory of the run.
        trials: Results.
        path: Where to; `trials.json` in the run's directory by default.

    Returns:
        The file written.

    Raises:
        RecordingError: If it can not be written.
    """
    rate = wilson_interval(sum(trial.is_success for trial in trials), len(trials))
    summary = {"successes": rate.successes, "trials": rate.trials, "rate": rate.rate, "rate_95": [rate.low, rate.high]}
    path = path or run_dir / "trials.json"
    content = {"run": run_dir.name, "summary": summary, "trials": [trial.to_json() for trial in trials]}
    _write(path, json.dumps(content, indent=2) + "\n")
    return path


def complete_result(result: TrialResult, metrics: EpisodeMetrics) -> TrialResult:
    """Fill what a trial did not measure itself from its recording; what it did measure stays."""
    measured = {
        "latency_p50_ms": metrics.latency_p50_ms,
        "latency_p99_ms": metrics.latency_p99_ms,
        "skew_p99_ms": metrics.skew_p99_ms,
    }
    missing: dict[str, Any] = {name: value for name, value in measured.items() if getattr(result, name) is None}
    if metrics.lost_sets is not None and not result.lost_view_sets:
        missing["lost_view_sets"] = metrics.lost_sets
    if not result.verdicts:
        missing["verdicts"] = dict(metrics.verdicts)
    return replace(result, **missing)


# ------------------------------------------------------------------------------------------------ one trial


def _section(run_dir: Path, result: TrialResult, limits: Sequence[JointLimits]) -> _Section:
    if result.bag is None:
        return _bare_section(result, "This trial was not recorded: no images, paths or timing to show.")
    try:
        trace = read_episode(run_dir / result.bag)
    except RecordingError as error:
        return _bare_section(result, str(error))
    metrics = measure_episode(trace, limits)
    drawings = (path_svg(trace), latency_svg(metrics.latency_ms), joints_svg(metrics.joints))
    return _Section(
        result=complete_result(result, metrics),
        latency_ms=metrics.latency_ms,
        compute_ms=metrics.compute_ms,
        facts=_facts(metrics, trace),
        cameras=[_camera(camera, trace.start_ns) for camera in trace.cameras],
        figures=[drawing for drawing in drawings if drawing is not None],
        notes=[*_absences(trace, metrics, bool(limits)), *trace.notes],
    )


def _bare_section(result: TrialResult, note: str) -> _Section:
    nothing = np.zeros(0)
    return _Section(
        result=result, latency_ms=nothing, compute_ms=nothing, facts=(), cameras=(), figures=(), notes=(note,)
    )


def _facts(metrics: EpisodeMetrics, trace: EpisodeTrace) -> list[tuple[str, str]]:
    facts = [
        ("Recorded", f"{trace.duration_ns / 1e9:.1f} s"),
        ("Chunks", str(len(metrics.latency_ms))),
        ("Policy compute p50 / p99", _pair(metrics.compute_p50_ms, metrics.compute_p99_ms, "ms")),
        ("Safety verdicts", verdict_text(metrics.verdicts)),
    ]
    if metrics.reasons:
        facts.append(("Objections", _counts(metrics.reasons)))
    return facts


def _camera(track: CameraTrack, start_ns: int) -> dict[str, str]:
    return {
        "name": track.camera,
        "count": str(track.count),
        "first": jpeg_data_uri(track.first.rgb),
        "last": jpeg_data_uri(track.last.rgb),
        "first_s": f"{max(0, track.first.receive_ns - start_ns) / 1e9:.1f} s",
        "last_s": f"{max(0, track.last.receive_ns - start_ns) / 1e9:.1f} s",
    }


def _absences(trace: EpisodeTrace, metrics: EpisodeMetrics, has_limits: bool) -> list[str]:
    present = {
        "camera images": bool(trace.cameras),
        "end-effector path": bool(trace.ee_paths),
        "action chunks": trace.chunks is not None,
        "joint states of the robot": bool(metrics.joints) or not has_limits,
    }
    absent = [name for name, is_present in present.items() if not is_present]
    return [f"The bag holds no {', no '.join(absent)}."] if absent else []


# ------------------------------------------------------------------------------------------------- the page


def _headline(sections: Sequence[_Section]) -> dict[str, Any]:
    results = [section.result for section in sections]
    rate = wilson_interval(sum(result.is_success for result in results), len(results))
    latency_ms = np.concatenate([np.zeros(0), *(section.latency_ms for section in sections)])
    compute_ms = np.concatenate([np.zeros(0), *(section.compute_ms for section in sections)])
    # Trials without a bag still know their own percentiles; the worst of those stands in for the pooled one.
    p50 = percentile(latency_ms, 50) or percentile(_known(result.latency_p50_ms for result in results), 50)
    p99 = percentile(latency_ms, 99) or percentile(_known(result.latency_p99_ms for result in results), 100)
    verdicts: Counter[str] = Counter()
    for result in results:
        verdicts.update(result.verdicts)
    tiles = [
        ("Trial length, median", _number(percentile([result.sim_s for result in results], 50), "s")),
        ("Chunk latency p50 / p99", _pair(p50, p99, "ms")),
        ("Policy compute p50 / p99", _pair(percentile(compute_ms, 50), percentile(compute_ms, 99), "ms")),
        ("View skew p99, worst", _number(percentile(_known(r.skew_p99_ms for r in results), 100), "ms")),
        ("Lost view sets", str(sum(result.lost_view_sets for result in results))),
        ("Clamped / chunks refused / stops", f"{verdicts['clamp']} / {verdicts['refuse']} / {verdicts['stop']}"),
    ]
    return {"rate": rate, "tiles": tiles}


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "pair": _pair, "verdicts": verdict_text, "percent": _percent}
    return environment


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RecordingError(f"{path} can not be written: {error}; choose a writable folder") from error


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _number(value: float | None, unit: str = "") -> str:
    return _NOTHING if value is None else f"{value:.1f} {unit}".strip()


def _pair(first: float | None, second: float | None, unit: str) -> str:
    if first is None or second is None:
        return _NOTHING
    return f"{first:.1f} / {second:.1f} {unit}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()) if count) or _NOTHING


def _percent(fraction: float) -> str:
    return f"{fraction * _PERCENT:.0f} %"
