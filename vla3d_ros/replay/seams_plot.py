"""A picture of what happens at the seams between chunks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vla3d_ros.replay.seams import SeamFigures

_OURS = "#0f766e"
_OTHERS = ("#3b6ea5", "#7da7d0", "#1f3f5f", "#c17f3a", "#dba96b", "#8a5a1e")


def plot_seams(path: Path, figures: Sequence[SeamFigures], ours: str) -> Path | None:
    """Draw peak jerk over the delay, and RMS jerk over the lag it is bought with.

    Args:
        path: PNG file to write.
        figures: What was measured; the worst stream counts.
        ours: The executors whose names start with this are drawn in one colour.

    Returns:
        The file, or None if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(11.0, 4.8), layout="constrained")
    peak, price = figure.subplots(1, 2)
    names = list(dict.fromkeys(f.executor for f in figures))
    others = iter(_OTHERS)
    for name in names:
        is_ours = name.startswith(ours)
        colour = _OURS if is_ours else next(others)
        style = {"color": colour, "linewidth": 2.0 if is_ours else 1.0}
        dashes = "-" if name == ours or not is_ours else "--"
        mine = [f for f in figures if f.executor == name]
        delays = sorted({f.delay_steps for f in mine})
        worst = [max(f.joint_jerk_rad_s3 for f in mine if f.delay_steps == delay) for delay in delays]
        peak.plot(delays, worst, linestyle=dashes, label=name, **style)
        lags, jerks = [f.lag_ms for f in mine], [f.joint_jerk_rms_rad_s3 for f in mine]
        price.scatter(lags, jerks, s=14, color=colour, marker="o" if dashes == "-" else "x", alpha=0.7)
        price.annotate(name, (float(np.median(lags)), max(jerks)), color=colour, fontsize=7, ha="left", va="bottom")
    peak.set_title("worst jerk at a seam (rad/s³) over the delay of inference (steps)", fontsize=9, loc="left")
    peak.legend(frameon=False, fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.08))
    price.set_title("RMS jerk (rad/s³) over the lag behind the asked path (ms)", fontsize=9, loc="left")
    for axes in (peak, price):
        axes.set_yscale("log")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e6e6e6", linewidth=0.6)
    figure.savefig(path, dpi=120)
    return path
