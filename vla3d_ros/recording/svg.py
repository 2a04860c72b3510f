"""Small drawings for pages, as text: a few lines of SVG in the colours of the page around them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.recording.joint_survey import JointUse

Float = NDArray[np.float64]

_WIDTH = 1000.0
_CELLS = 240
_HEIGHT = 120.0
_LEFT = 52.0
_FOOT = 22.0
_LEVELS = 4


def density_strip(times_s: Float, duration_s: float) -> str:
    """Draw when messages came: one cell per 1/240 of the time, darker for more, empty for none.

    Args:
        times_s: (N,) seconds since the start.
        duration_s: Length of the recording.
    """
    counts, _ = np.histogram(times_s, bins=_CELLS, range=(0.0, max(duration_s, 1e-9)))
    most = float(np.percentile(counts[counts > 0], 90)) if counts.any() else 1.0
    width = _WIDTH / _CELLS
    cells = "".join(
        f'<rect x="{index * width:.1f}" width="{width + 0.3:.1f}" height="16" fill-opacity="{_shade(count, most)}"/>'
        for index, count in enumerate(counts)
        if count
    )
    return f'<svg class="strip" viewBox="0 0 {_WIDTH:.0f} 16" preserveAspectRatio="none">{cells}</svg>'


def line_chart(series: Sequence[tuple[str, Float, Float]], unit: str, *, limit: float | None = None) -> str:
    """Draw values over time, from zero up.

    Args:
        series: Name, (N,) seconds, (N,) values; the first is drawn strongest.
        unit: Of the values.
        limit: A value to mark.
    """
    values = [y for _, _, y in series if len(y)]
    top = max([float(y.max()) for y in values] + ([limit * 1.1] if limit else []) + [1e-9])
    end_s = max([float(x.max()) for _, x, _ in series if len(x)] + [1e-9])
    plot_width, plot_height = _WIDTH - _LEFT, _HEIGHT - _FOOT
    parts = [_frame(top, end_s, unit)]
    for index, (name, x, y) in enumerate(series):
        points = " ".join(
            f"{_LEFT + t / end_s * plot_width:.1f},{6 + plot_height * (1 - v / top):.1f}"
            for t, v in zip(x, y, strict=True)
        )
        parts.append(f'<polyline class="line s{index % 4}" points="{points}"><title>{name}</title></polyline>')
    if limit is not None:
        height = 6 + plot_height * (1 - limit / top)
        parts.append(f'<line class="limit" x1="{_LEFT}" x2="{_WIDTH}" y1="{height:.1f}" y2="{height:.1f}"/>')
    return f'<svg class="chart" viewBox="0 0 {_WIDTH:.0f} {_HEIGHT + 8:.0f}">{"".join(parts)}</svg>'


def joint_bars(joints: Sequence[JointUse]) -> str:
    """Draw the range each joint used between its limits, or between the ends of what it used."""
    rows = []
    for index, joint in enumerate(joints):
        lower = joint.lower if joint.lower is not None else joint.q_min
        upper = joint.upper if joint.upper is not None else joint.q_max
        span = max(upper - lower, 1e-9)
        start, stop = ((q - lower) / span * 640.0 for q in (joint.q_min, joint.q_max))
        y = index * 22
        rows.append(
            f'<text class="name" x="176" y="{y + 13}" text-anchor="end">{joint.name[-26:]}</text>'
            f'<rect class="range" x="190" y="{y + 4}" width="640" height="10"/>'
            f'<rect class="used" x="{190 + max(0.0, start):.1f}" y="{y + 4}" '
            f'width="{max(2.0, min(640.0, stop) - max(0.0, start)):.1f}" height="10"/>'
            f'<text class="value" x="842" y="{y + 13}">{joint.q_min:+.2f} to {joint.q_max:+.2f}</text>'
        )
    return f'<svg class="joints" viewBox="0 0 1000 {22 * len(joints) + 4}">{"".join(rows)}</svg>'


def _shade(count: float, most: float) -> str:
    return f"{0.25 + 0.75 * min(1.0, count / max(most, 1e-9)):.2f}"


def _frame(top: float, end_s: float, unit: str) -> str:
    plot_height = _HEIGHT - _FOOT
    lines = []
    for level in range(_LEVELS + 1):
        y = 6 + plot_height * (1 - level / _LEVELS)
        lines.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
        if level % 2 == 0:
            label = f"{top * level / _LEVELS:.3g}{' ' + unit if level == _LEVELS else ''}"
            lines.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    lines.append(f'<text x="{_LEFT}" y="{_HEIGHT + 4}">0 s</text>')
    lines.append(f'<text x="{_WIDTH}" y="{_HEIGHT + 4}" text-anchor="end">{end_s:.1f} s</text>')
    return "".join(lines)
