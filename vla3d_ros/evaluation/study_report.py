"""One self-contained page about a study: what was compared, how, what came out, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from vla3d_ros.evaluation import study_figures
from vla3d_ros.evaluation.interventions import intervention_text
from vla3d_ros.evaluation.mode_agreement import mode_agreements
from vla3d_ros.evaluation.study_calibration import calibration_of, calibration_text, calibration_uses, camera_text
from vla3d_ros.evaluation.study_comparison import Comparisons, compare_policies
from vla3d_ros.evaluation.study_gallery import bag_link, gallery
from vla3d_ros.evaluation.study_results import PooledTrial, StudyResults, tally
from vla3d_ros.evaluation.study_table import result_table
from vla3d_ros.evaluation.verdict_words import verdict_text

_TEMPLATES = Path(__file__).parent / "templates"
_NOTHING = "–"
_TINY = 1e-4


def study_page(results: StudyResults, out: Path) -> str:
    """Return the report's HTML.

    Args:
        results: The pooled trials.
        out: Folder in which the page will lie; links to bags are relative to it.
    """
    comparisons = compare_policies(results)
    hues = study_figures.colours(results.policies)
    factors = _factors(results)
    return (
        _environment()
        .get_template("study.html.j2")
        .render(
            study=results.study,
            results=results,
            design=_design(results),
            policies=[_policy(results, comparisons, policy, hues[policy]) for policy in results.policies],
            table=result_table(results),
            comparisons=comparisons,
            figures=_figures(results, comparisons),
            order=study_figures.order_svg(results),
            modes=mode_agreements(results),
            gallery=gallery(results, out),
            trials=[_row(trial, out, factors) for trial in (*results.trials, *results.others)],
            calibrations=calibration_uses(results),
            attempts=_attempts(results),
        )
    )


def _policy(results: StudyResults, comparisons: Comparisons, policy: str, hue: str) -> dict[str, Any]:
    trials = results.of(policy)
    counted = tally(trials)
    labels = sorted(
        {label for data in results.runs for label, name in data.key.policies.items() if name == policy}
        if results.is_revealed and results.study.design.is_blind
        else set()
    )
    return {
        "name": policy,
        "hue": hue,
        "tally": counted,
        "labels": labels,
        "letters": comparisons.letters.get(policy, ""),
        "has_sub_tasks": any(trial.record.sub_tasks for trial in trials),
    }


def _figures(results: StudyResults, comparisons: Comparisons) -> list[str]:
    drawn = (
        study_figures.rates_svg(results),
        study_figures.differences_svg(comparisons.pairs),
        study_figures.times_svg(results),
        study_figures.sub_tasks_svg(results),
        study_figures.failures_svg(results),
    )
    return [figure for figure in drawn if figure is not None]


def _design(results: StudyResults) -> list[tuple[str, str]]:
    study, design = results.study, results.study.design
    orders = {
        "interleaved": "every policy on one scene, then all on the next, in drawn turns",
        "balanced": f"shuffled within blocks of {design.block_conditions} scenes that every policy completes",
        "blocked": "one policy after the other",
    }
    method = (
        "fixed number of trials; exact tests"
        if design.comparison.method == "fixed"
        else "sequential: stops when the e-value reaches 1/alpha, valid at any time"
    )
    judged = sorted({trial.record.judged_by for trial in results.trials})
    return [
        ("Order", f"{design.order.value}: {orders[design.order.value]}"),
        ("Trials", f"{study.trials_per_policy} for every policy in every run, {design.trials_per_cell} per cell"),
        ("Comparison", f"{method}; alpha {design.comparison.alpha:g}, Holm over all pairs of policies"),
        ("Blinding", "policies were letters until the end; the key was sealed" if design.is_blind else "none"),
        ("Judged by", " and ".join({"twin": "the twin's truth"}.get(name, name) for name in judged) or _NOTHING),
        ("Prompt", "mask on the first image" if study.prompt == "mask" else "instruction"),
    ]


def _attempts(results: StudyResults) -> dict[str, Any]:
    return {
        "planned": results.planned,
        "valid": len(results.trials) + len(results.others),
        "invalid": [(data.folder.name, record) for data, record in results.invalid],
        "interrupted": results.interrupted,
        "resumed": sum(data.resumed for data in results.runs),
        "stopped": [data.stopped_because for data in results.runs if data.stopped_because],
    }


def _factors(results: StudyResults) -> tuple[str, ...]:
    """Return what tells conditions apart: a factor with one level only is said once, in the header."""
    trials = (*results.trials, *results.others)
    names = ("task", "setting", "object")
    varying = tuple(name for name in names if len({getattr(trial.condition, name) for trial in trials}) > 1)
    return varying or names


def _row(trial: PooledTrial, out: Path, factors: Sequence[str]) -> dict[str, Any]:
    condition, record = trial.condition, trial.record
    calibration = calibration_of(trial)
    return {
        "run": trial.data.folder.name,
        "mode": trial.data.mode,
        "policy": trial.policy,
        "record": record,
        "what": " · ".join(word for name in factors if (word := getattr(condition, name))),
        "interventions": intervention_text(record.intervention_kinds),
        "calibration": "" if calibration is None else calibration_text(calibration),
        "calibration_problems": () if calibration is None else calibration.problems,
        "seed": condition.seed,
        "environment": ", ".join(f"{what}: {value}" for what, value in condition.environment.items()),
        "done": [name for name, is_done in record.sub_tasks.items() if is_done],
        "steps": len(record.sub_tasks),
        "link": bag_link(trial, out),
    }


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": lambda fraction: f"{100 * fraction:.0f} %",
        "points": lambda fraction: f"{100 * fraction:+.0f}",
        "p": _p_value,
        "seconds": lambda value: _NOTHING if value is None else f"{value:.1f} s",
        "pair": _pair,
        "ms": lambda value: _NOTHING if value is None else f"{value:.1f} ms",
        "verdicts": verdict_text,
        "camera": camera_text,
    }
    return environment


def _p_value(value: float) -> str:
    return f"< {_TINY:g}" if value < _TINY else f"{value:.3g}"


def _pair(first: float | None, second: float | None) -> str:
    return _NOTHING if first is None or second is None else f"{first:.0f} / {second:.0f} ms"
