"""Trials through the live graph, from the results of a run of `vla3d evaluate`: success, chunks a second, pace."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla3d_ros.errors import RecordingError
from vla3d_ros.evaluation.statistics import Proportion, percentile, wilson_interval

RESULTS = "results.json"
_LIVE_MODE = "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveResult:
    """One policy's live trials.

    chunks_per_s: answers of the safety gate per second of ROS time; chunks_per_wall_s: of wall time.
    real_time_factor: ROS seconds per wall second during trials. Latency: from an observation's stamp to its chunk on
    the ROS clock, median of the trials' medians and largest of their 99th percentiles; None if not measured.
    """

    policy: str
    rate: Proportion
    chunks_per_s: float
    chunks_per_wall_s: float
    real_time_factor: float
    latency_p50_ms: float | None
    latency_p99_ms: float | None


def read_live(folder: Path) -> tuple[LiveResult, ...]:
    """Read the live trials of a run of `vla3d evaluate PROTOCOL --twin`; nothing if the folder is not there.

    Raises:
        RecordingError: If its results are something else, or have no live trials.
    """
    path = folder / RESULTS
    if not path.is_file():
        return ()
    try:
        trials = json.loads(path.read_text(encoding="utf-8"))["trials"]
        live = [trial for trial in trials if trial["mode"] == _LIVE_MODE and trial["is_valid"]]
        policies = dict.fromkeys(str(trial["policy"]) for trial in live)
        results = tuple(_result(name, [trial for trial in live if trial["policy"] == name]) for name in policies)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordingError(
            f"{path} has no trials as 'vla3d evaluate PROTOCOL' writes them ({error!r}); write it again with "
            f"'vla3d evaluate report {folder}'"
        ) from error
    if not results:
        raise RecordingError(f"{path} has no live trials; run 'vla3d evaluate PROTOCOL --twin' without --fast")
    return results


def _result(policy: str, trials: Sequence[Mapping[str, Any]]) -> LiveResult:
    sim_s, wall_s = (sum(float(trial[key]) for trial in trials) for key in ("sim_s", "wall_s"))
    chunks = sum(sum(trial["verdicts"].values()) for trial in trials)
    medians, tails = (
        [trial[key] for trial in trials if trial[key] is not None] for key in ("latency_p50_ms", "latency_p99_ms")
    )
    return LiveResult(
        policy=policy,
        rate=wilson_interval(sum(trial["outcome"] == "success" for trial in trials), len(trials)),
        chunks_per_s=chunks / sim_s if sim_s else 0.0,
        chunks_per_wall_s=chunks / wall_s if wall_s else 0.0,
        real_time_factor=sim_s / wall_s if wall_s else 0.0,
        latency_p50_ms=percentile(medians, 50),
        latency_p99_ms=max(tails, default=None),
    )
