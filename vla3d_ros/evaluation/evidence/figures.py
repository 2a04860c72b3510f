"""The page's drawings: rates by variation, differences, how trials failed, time to success."""

from __future__ import annotations

import io
from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from vla3d_ros.evaluation.evidence.results import Evidence
from vla3d_ros.evaluation.evidence.trial import FAILURES
from vla3d_ros.evaluation.figures import FAINT, INK, MUTED, Canvas
from vla3d_ros.evaluation.statistics.survival import success_times, survival_curve

PALETTE = ("#525252", "#b45309", "#4338ca", "#be185d", "#0f766e", "#0369a1", "#7c2d12", "#4d7c0f")
_FAILED = ("#7c3aed", "#b45309", "#0369a1", "#be185d", "#b42318", "#525252")
_DPI = 110


def draw_all(evidence: Evidence) -> dict[str, tuple[bytes, str]]:
    """Return the drawings there is something for, as PNG and SVG, by name."""
    drawn = {
        "rates": _rates(evidence),
        "differences": _differences(evidence),
        "failures": _failures(evidence),
        "times": _times(evidence),
    }
    return {name: files for name, files in drawn.items() if files is not None}


def _files(canvas: Canvas) -> tuple[bytes, str]:
    buffer = io.BytesIO()
    canvas.figure.savefig(buffer, format="png", dpi=_DPI, facecolor="white", metadata={"Software": None})
    with mpl.rc_context({"svg.hashsalt": "evidence"}):  # names of parts, the same every time
        return buffer.getvalue(), canvas.svg()


def _hues(evidence: Evidence) -> Mapping[str, str]:
    return {variant.name: PALETTE[i % len(PALETTE)] for i, variant in enumerate(evidence.plan.variants)}


def _variants(evidence: Evidence) -> list[str]:
    tried = {variant for variant, _ in evidence.cells}
    return [variant.name for variant in evidence.plan.variants if variant.name in tried]


def _variations(evidence: Evidence) -> list[str]:
    tried = {variation for _, variation in evidence.cells}
    return [variation for variation in evidence.plan.variations if variation in tried]


def _rates(evidence: Evidence) -> tuple[bytes, str] | None:
    variants, variations = _variants(evidence), _variations(evidence)
    if not variants:
        return None
    hues, step = _hues(evidence), 0.8 / len(variants)
    with Canvas("wide", 8.0, 1.0 + 0.16 * len(variations) * (1 + len(variants))) as canvas:
        (axes,) = canvas.axes
        for row, variation in enumerate(variations):
            for index, variant in enumerate(variants):
                found = evidence.cells.get((variant, variation))
                if found is None:
                    continue
                y = row + (index - (len(variants) - 1) / 2) * step
                span = (100 * found.rate.low, 100 * found.rate.high)
                axes.plot(span, (y, y), color=hues[variant], linewidth=2.2, alpha=0.45)
                axes.plot(100 * found.rate.rate, y, "o", color=hues[variant], markersize=4.5)
        for bar in evidence.plan.bars:
            if bar.variation in variations:
                row, at = variations.index(bar.variation), 100 * bar.at_least
                axes.plot((at, at), (row - 0.45, row + 0.45), color=INK, linewidth=1.0, linestyle=(0, (2, 2)))
        axes.set_yticks(range(len(variations)), variations)
        axes.set(xlim=(-1, 101), ylim=(len(variations) - 0.4, -0.6), xlabel="success / % (dashed: the bar)")
        axes.set_title("Success rate with 95 % Wilson interval")
        axes.grid(axis="y", visible=False)
        _legend(axes, {name: hues[name] for name in variants})
        return _files(canvas)


def _differences(evidence: Evidence) -> tuple[bytes, str] | None:
    lead = evidence.plan.comparisons[0] if evidence.plan.comparisons else None
    shown = [one for one in evidence.differences if (one.first, one.second) == lead]
    if not shown:
        return None
    with Canvas("half", 8.0, 0.9 + 0.3 * max(2, len(shown))) as canvas:
        (axes,) = canvas.axes
        axes.axvline(0, color=MUTED, linewidth=0.9)
        for y, one in enumerate(shown):
            axes.plot((100 * one.low, 100 * one.high), (y, y), color=INK, linewidth=1.6)
            axes.plot(100 * one.difference, y, "s", color=INK, markersize=5)
        reach = max(10.0, *(100 * max(abs(one.low), abs(one.high)) for one in shown)) * 1.05
        axes.set_yticks(range(len(shown)), [one.variation for one in shown])
        axes.set(xlim=(-reach, reach), ylim=(len(shown) - 0.4, -0.6), xlabel="difference / points")
        axes.set_title(f"{shown[0].first} - {shown[0].second}, the same scenes, 95 % interval")
        axes.grid(axis="y", visible=False)
        return _files(canvas)


def _failures(evidence: Evidence) -> tuple[bytes, str] | None:
    rows = [cell for cell in evidence.plan.cells() if cell in evidence.cells and evidence.cells[cell].failures]
    if not rows:
        return None
    with Canvas("wide", 8.0, 1.1 + 0.17 * len(rows)) as canvas:
        (axes,) = canvas.axes
        for y, cell in enumerate(rows):
            left, found = 0.0, evidence.cells[cell]
            axes.barh(y, 100, height=0.7, color=FAINT)
            for kind, hue in zip(FAILURES, _FAILED, strict=True):
                share = 100 * found.failures.get(kind, 0) / found.rate.trials
                axes.barh(y, share, left=left, height=0.7, color=hue)
                left += share
        axes.set_yticks(range(len(rows)), [f"{variant} · {variation}" for variant, variation in rows], fontsize=7)
        axes.set(xlim=(0, 100), ylim=(len(rows) - 0.4, -0.6), xlabel="trials of the cell / %")
        axes.set_title("How trials failed: the last milestone they reached")
        axes.grid(axis="y", visible=False)
        _legend(axes, dict(zip(FAILURES, _FAILED, strict=True)), columns=3)
        return _files(canvas)


def _times(evidence: Evidence) -> tuple[bytes, str] | None:
    variations = _variations(evidence)
    if not variations:
        return None
    first, hues, timeout_s = variations[0], _hues(evidence), evidence.plan.timeout_s
    with Canvas("half", 8.0, 3.0) as canvas:
        (axes,) = canvas.axes
        for variant in _variants(evidence):
            found = evidence.cells.get((variant, first))
            if found is None:
                continue
            sim_s, is_success = [t.sim_s for t in found.trials], [t.is_success for t in found.trials]
            curve = survival_curve(*success_times(sim_s, is_success, timeout_s))
            at_s = np.concatenate(([0.0], curve.times_s, [timeout_s]))
            done = 100 * (1 - np.concatenate(([1.0], curve.survival, [curve.at(timeout_s)])))
            axes.step(at_s, done, where="post", color=hues[variant], linewidth=1.6, label=variant)
        axes.set(xlim=(0, timeout_s), ylim=(-2, 102), xlabel="time since the start / s", ylabel="succeeded / %")
        axes.set_title(f"Time to success, {first}")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        return _files(canvas)


def _legend(axes: Axes, hues: Mapping[str, str], *, columns: int = 5) -> None:
    handles = [Line2D([], [], marker="s", linestyle="", color=hue) for hue in hues.values()]
    axes.figure.legend(handles, list(hues), loc="outside lower center", ncol=columns)
