"""Writes what is known of a plan: page, figures, results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vla3d_ros.commands.evidence_setup import load_variations
from vla3d_ros.commands.evidence_spatial import SHEET, read_spatial
from vla3d_ros.evaluation.evidence.config import EvidencePlan
from vla3d_ros.evaluation.evidence.figures import draw_all
from vla3d_ros.evaluation.evidence.live import read_live
from vla3d_ros.evaluation.evidence.page import PageFacts, evidence_page
from vla3d_ros.evaluation.evidence.results import Evidence, evaluate
from vla3d_ros.evaluation.evidence.results_json import results_json
from vla3d_ros.evaluation.evidence.store import CellRecord, read_cells, require_one_origin
from vla3d_ros.evaluation.journal import read_journal, write_durably

SESSIONS = "sessions.jsonl"
_SPATIAL = "spatial"
_LIVE_LINE = "vla3d evaluate tabletop_live --policies {policy} --twin --out {folder}"
_DIGITS = 16


def write_page(plan: EvidencePlan, name: str, out: Path, config_dir: Path, docs: Path | None) -> Evidence:
    """Write `<name>.md`, figures and `results.json` of a run, and the page with its pictures into a documentation.

    Args:
        plan: What was asked for.
        name: Of the plan's file; the page's name.
        out: Folder of the run.
        config_dir: The directory `config`.
        docs: Folder with `benchmarks` and `images`, or None.

    Raises:
        ConfigError: If the cells are not of one origin.
        RecordingError: If something can not be read or written.
    """
    known = set(plan.cells())
    records = [record for record in read_cells(out) if record.cell in known]
    require_one_origin({record.cell: record.identity for record in records})
    evidence = evaluate(plan, records)
    drawn = draw_all(evidence)
    pictures = {title: png for title, (png, _) in drawn.items()}
    spatial = read_spatial(out)
    if spatial is not None:
        pictures[_SPATIAL] = (out / SHEET).read_bytes()
    facts: dict[str, Any] = {
        "command": f"vla3d bench tabletop --plan {name} --out runs/{name} --docs docs",
        "titles": {key: variation.title for key, variation in load_variations(plan, config_dir).items()},
        "identities": _identities(records),
        "sessions": _sessions(out),
        "spatial": {} if spatial is None else spatial.counts,
        "live": read_live(Path(plan.live)) if plan.live else (),
        "live_command": _live_command(plan),
    }
    own = PageFacts(**facts, pictures={title: f"figures/{title}.png" for title in pictures})
    write_durably(out / f"{name}.md", evidence_page(evidence, own))
    write_durably(out / "results.json", results_json(evidence, own))
    for title, (_, svg) in drawn.items():
        write_durably(out / "figures" / f"{title}.svg", svg)
    _write_pictures(out / "figures", "", pictures)
    if docs is not None:
        links = {title: f"../images/{name}_{title}.png" for title in pictures}
        write_durably(docs / "benchmarks" / f"{name}.md", evidence_page(evidence, PageFacts(**facts, pictures=links)))
        _write_pictures(docs / "images", f"{name}_", pictures)
    return evidence


def _write_pictures(folder: Path, prefix: str, pictures: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for title, png in pictures.items():
        (folder / f"{prefix}{title}.png").write_bytes(png)


def _live_command(plan: EvidencePlan) -> str:
    policy = plan.variant(plan.spatial.variant).policy
    return _LIVE_LINE.format(policy=Path(policy).name, folder=plan.live) if plan.live else ""


def _identities(records: Sequence[CellRecord]) -> dict[str, str]:
    """Return what the page says that trials were made of; the records are of one origin."""
    if not records:
        return {}
    found: dict[str, str] = {}
    for record in records:
        policy = record.identity["policy"]
        untrained = "" if policy.get("is_trained", True) else " (untrained)"
        digest = str(policy.get("package", policy["settings"]))[:_DIGITS]
        found[f"policy {record.cell[0]}"] = f"{digest}{untrained}"
    common = records[0].identity
    code = json.dumps(common["code"], sort_keys=True).encode()
    found["code"] = hashlib.sha256(code).hexdigest()[:_DIGITS]
    found |= {f"world: {key}": str(value) for key, value in common["world"].items()}
    return found | {key: str(value) for key, value in common["libraries"].items() if value}


def _sessions(out: Path) -> list[str]:
    """Return a sentence for every machine that ran trials."""
    if not (out / SESSIONS).is_file():
        return []
    events = [event for event in read_journal(out / SESSIONS) if event["event"] == "session"]
    lines = [f"Run on {event['machine']}, {event['processes']} processes at a time." for event in events]
    return list(dict.fromkeys(lines))
