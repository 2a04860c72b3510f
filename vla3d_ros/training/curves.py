"""The curves of a run as one picture: losses per step, smoothed, and what validation found."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vla3d_ros.training.journal import Entry

_INK, _MUTED, _RULE = "#1f2933", "#7b8794", "#e4e7eb"
_COLOURS = ("#0f766e", "#b45309", "#4338ca", "#be123c", "#64748b")
_STYLE = {
    "font.size": 9.0,
    "text.color": _INK,
    "axes.edgecolor": _RULE,
    "axes.labelcolor": _MUTED,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#f0f3f5",
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "legend.frameon": False,
}
_PANELS = (
    ("Losses", "training", ("flow", "instances", "depth", "self_supervision"), "not weighted"),
    ("Positions, held-out scenes", "validation", ("position_mm", "last_position_mm", "completion_mm"), "mm"),
    ("Rotation, held-out scenes", "validation", ("rotation_deg", "last_rotation_deg"), "degrees"),
    ("Gripper, objects found", "validation", ("gripper", "objects_found"), "share"),
)
_LABELS = {
    "position_mm": "mean of the chunk",
    "rotation_deg": "mean of the chunk",
    "last_position_mm": "last step",
    "last_rotation_deg": "last step",
    "gripper": "gripper error",
    "objects_found": "objects found within 3 cm",
    "completion_mm": "completion points to the nearest surface",
    "self_supervision": "self-supervision",
}
_SMOOTHED_OVER = 50  # parts of the run


def draw_curves(path: Path, entries: Iterable[Entry], title: str) -> None:
    """Draw a journal.

    Args:
        path: Of the picture; its ending says the format.
        entries: Of the journal.
        title: Above all.
    """
    lines = list(entries)
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(9.0, 5.4), layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, color=_INK)
        for axes, (heading, kind, names, unit) in zip(figure.subplots(2, 2).flat, _PANELS, strict=True):
            chosen = [line for line in lines if line.kind == kind]
            axes.set(title=heading, xlabel="step", ylabel=unit)
            for name, colour in zip(names, _COLOURS, strict=False):
                _draw(axes, chosen, name, colour, is_noisy=kind == "training")
            _mark_stages(axes, lines)
            if axes.lines and kind == "training":
                axes.set_yscale("log")
            elif axes.lines:
                axes.set_ylim(bottom=0.0)
            if axes.get_legend_handles_labels()[0]:
                axes.legend(loc="best", fontsize=8.5)
        figure.savefig(path, dpi=130, facecolor="white")


def _draw(axes: Axes, lines: Sequence[Entry], name: str, colour: str, *, is_noisy: bool) -> None:
    found = [(line.step, line.figures[name]) for line in lines if name in line.figures]
    if not found:
        return
    steps, values = np.array(found, dtype=np.float64).T
    label = _LABELS.get(name, name)
    if not is_noisy:
        axes.plot(steps, values, color=colour, linewidth=1.3, marker="o", markersize=2.5, label=label)
        return
    axes.plot(steps, values, color=colour, linewidth=0.5, alpha=0.25)
    axes.plot(steps, _smoothed(values), color=colour, linewidth=1.4, label=label)


def _smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a running mean over the last fiftieth of the values, shorter at the start."""
    width = max(1, len(values) // _SMOOTHED_OVER)
    summed = np.concatenate([[0.0], np.cumsum(values)])
    last = np.arange(1, len(values) + 1)
    first = np.maximum(last - width, 0)
    mean: NDArray[np.float64] = (summed[last] - summed[first]) / (last - first)
    return mean


def _mark_stages(axes: Axes, lines: Sequence[Entry]) -> None:
    """Draw a line where a stage ends and another begins."""
    for before, after in itertools.pairwise(lines):
        if before.stage != after.stage:
            axes.axvline(before.step, color=_MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
