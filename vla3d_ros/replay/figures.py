"""The drawings of the replay report, in the style of the run report."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.evaluation.figures import ACCENT, INK, MUTED, Canvas
from vla3d_ros.replay.comparison import QUANTITIES, Comparison
from vla3d_ros.replay.offline import Replay
from vla3d_ros.replay.recorded_run import RecordedRun

Float = NDArray[np.float64]

_TITLES = {"position": "Position / mm", "rotation": "Rotation / deg", "gripper": "Gripper opening / mm"}
_SHADES = {"max": (ACCENT, 1.5, 1.0), "p95": (ACCENT, 1.2, 0.55), "p50": (INK, 1.2, 1.0)}
_KIND_SHADES = {"allow": ACCENT, "clamp": "#d9a441", "refuse": MUTED, "stop": "#b42318"}
_BINS = 40
_SMALLEST = 0.01  # mm or deg: below this, a curve is a line at zero


def timeline_svg(comparison: Comparison, start_ns: int) -> str | None:
    """Draw how far every chunk is from its reference, worst step, over the time of the recording."""
    if not comparison.differences:
        return None
    with Canvas("timeline", 11.1, 2.3, columns=len(QUANTITIES), ratios=(1.0, 1.0, 1.0)) as canvas:
        times_s = [(difference.stamp_ns - start_ns) / 1e9 for difference in comparison.differences]
        for axes, quantity in zip(canvas.axes, QUANTITIES, strict=True):
            values = [difference.worst(quantity) for difference in comparison.differences]
            axes.plot(times_s, values, color=ACCENT, linewidth=1.2)
            axes.set(title=f"{_TITLES[quantity]}, worst step", xlabel="time / s")
            axes.set_ylim(0, max(max(values) * 1.1, _SMALLEST))
        return canvas.svg()


def horizon_svg(comparison: Comparison) -> str | None:
    """Draw differences over the step of the chunk: median, 95th percentile and worst of all chunks."""
    if not comparison.differences:
        return None
    with Canvas("horizon", 11.1, 2.3, columns=len(QUANTITIES), ratios=(1.0, 1.0, 1.0)) as canvas:
        for axes, quantity in zip(canvas.axes, QUANTITIES, strict=True):
            rows = dict(zip(("p50", "p95", "max"), comparison.horizons(quantity), strict=True))
            steps = np.arange(1, len(rows["max"]) + 1)
            for name, (colour, width, alpha) in _SHADES.items():
                axes.plot(steps, rows[name], color=colour, linewidth=width, alpha=alpha, label=name)
            axes.set(title=f"{_TITLES[quantity]}, by step ahead", xlabel="step of the chunk")
            axes.set_ylim(0, max(float(rows["max"].max()) * 1.1, _SMALLEST))
        canvas.axes[-1].legend(loc="center right")
        return canvas.svg()


def compute_svg(replay: Replay, run: RecordedRun) -> str | None:
    """Draw how long inference took in the replay and, where the recording tells, live."""
    here = np.array([chunk.compute_ms for chunk in replay.chunks])
    live = np.array([c.compute_ms for c in run.chunks.values() if np.isfinite(c.compute_ms)])
    if not len(here):
        return None
    with Canvas("compute", 5.4, 2.6) as canvas:
        (axes,) = canvas.axes
        both = np.concatenate([here, live])
        edges = np.linspace(0.0, float(np.percentile(both, 99)) * 1.15 + 1e-3, _BINS).tolist()
        if len(live):
            axes.hist(np.clip(live, None, edges[-1]), bins=edges, color=MUTED, alpha=0.45, label="live")
        axes.hist(np.clip(here, None, edges[-1]), bins=edges, color=ACCENT, alpha=0.85, label="replay")
        axes.set(title="Inference", xlabel="compute / ms (wall time)", ylabel="chunks")
        axes.legend(loc="upper right")
        axes.grid(axis="x", visible=False)
        return canvas.svg()


def verdicts_svg(replay: Replay, start_ns: int) -> str | None:
    """Draw the verdict of every chunk over the time of the recording."""
    if not replay.chunks:
        return None
    with Canvas("verdicts", 5.4, 2.6) as canvas:
        (axes,) = canvas.axes
        kinds = [kind for kind in _KIND_SHADES if kind in replay.verdicts]
        for row, kind in enumerate(kinds):
            times = [(c.record.stamp_ns - start_ns) / 1e9 for c in replay.chunks if c.judgement.kind == kind]
            axes.plot(times, [row] * len(times), "|", color=_KIND_SHADES[kind], markersize=13, markeredgewidth=1.1)
        axes.set_yticks(range(len(kinds)), [f"{kind} · {replay.verdicts[kind]}" for kind in kinds])
        axes.set(title="Verdicts of adapter and safety", xlabel="time / s", ylim=(-0.7, len(kinds) - 0.3))
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
        return canvas.svg()
