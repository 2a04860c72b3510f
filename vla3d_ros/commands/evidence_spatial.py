"""What a variant believes of the objects on a few scenes of every variation: counts and pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla3d_ros.errors import RecordingError
from vla3d_ros.evaluation.evidence.config import EvidencePlan
from vla3d_ros.evaluation.evidence.overlay import overlay_sheet
from vla3d_ros.evaluation.evidence.spatial_scene import SpatialMoment, look_at_scene
from vla3d_ros.evaluation.evidence.spatial_truth import SpatialCounts, counts_from_json
from vla3d_ros.evaluation.evidence.store import Cell
from vla3d_ros.evaluation.journal import write_durably
from vla3d_ros.evaluation.trial_loop import TrialSetup

FOLDER = "spatial"
SHEET = f"{FOLDER}/overview.png"
_COUNTS = f"{FOLDER}/counts.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpatialResults:
    """Counts by variation, and what they were made of."""

    identity: Mapping[str, Any]
    counts: Mapping[str, SpatialCounts]


def read_spatial(out: Path) -> SpatialResults | None:
    """Return what a run's folder has; None if nothing.

    Raises:
        RecordingError: If it is something else.
    """
    path = out / _COUNTS
    if not path.is_file() or not (out / SHEET).is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        counts = {name: counts_from_json(values) for name, values in content["counts"].items()}
        return SpatialResults(identity=content["identity"], counts=counts)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordingError(f"{path} is not what was written ({error!r}); remove it") from error


def check_spatial(
    plan: EvidencePlan,
    setups: Mapping[Cell, TrialSetup],
    identities: Mapping[Cell, Mapping[str, Any]],
    out: Path,
    progress: Callable[[str], None] = lambda variation: None,
) -> SpatialResults | None:
    """Look, unless a run's folder has just that already.

    Args:
        plan: Says which variant, how many scenes and when.
        setups: Of the variant's cells at least.
        identities: What those are made of.
        out: Folder of the run; a picture of every variation's scenes goes below it.
        progress: Called before every variation.

    Returns:
        The counts; None if the variant's policy does not say where things are.
    """
    check = plan.spatial
    cells = [(check.variant, variation) for variation in plan.variations]
    identity = json.loads(
        json.dumps(
            {
                "check": [check.variant, check.scenes, check.seed, list(check.at_s)],
                "cells": {variation: identities[variant, variation] for variant, variation in cells},
            }
        )
    )
    before = read_spatial(out)
    if before is not None and before.identity == identity:
        return before
    counts, overview = {}, list[tuple[str, SpatialMoment]]()
    for cell in cells:
        variation = cell[1]
        progress(variation)
        moments = [
            moment
            for scene in range(check.scenes)
            for moment in look_at_scene(setups[cell], seed=check.seed, scene=scene, at_s=check.at_s)
        ]
        if not moments:
            continue
        counts[variation] = sum((moment.counts for moment in moments), SpatialCounts())
        last = {moment.scene: moment for moment in moments}
        rows = [(f"{variation} {scene}", moment) for scene, moment in last.items()]
        overview.append((variation, rows[0][1]))
        _write(out / FOLDER / f"{variation}.png", rows)
    if not overview:
        return None
    _write(out / SHEET, overview)
    content = {"identity": identity, "counts": {name: found.to_json() for name, found in counts.items()}}
    write_durably(out / _COUNTS, json.dumps(content, indent=1) + "\n")
    return SpatialResults(identity=identity, counts=counts)


def _write(path: Path, rows: list[tuple[str, SpatialMoment]]) -> None:
    cameras = list(dict.fromkeys(name for _, moment in rows for name in moment.numbers))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(overlay_sheet(rows, cameras))
