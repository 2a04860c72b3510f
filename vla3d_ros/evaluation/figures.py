"""The report's drawings: vector graphics in one quiet style."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from vla3d_ros.evaluation.episode_metrics import JointUse
from vla3d_ros.recording.episode_trace import EpisodeTrace, PlannedPath, PoseTrack

ACCENT = "#0f766e"
INK = "#1f2933"
MUTED = "#7b8794"
RULE = "#e4e7eb"
FAINT = "#f0f3f5"

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["system-ui", "Segoe UI", "Helvetica", "Arial", "DejaVu Sans"],
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}
_MOST_POINTS = 400
_MOST_PLANS = 60
_JPEG_WIDTH_PX = 400
_JPEG_QUALITY = 82
_NS_PER_S = 1e9
_MM_PER_M = 1e3
_BINS = 30


def jpeg_data_uri(rgb: NDArray[np.uint8]) -> str:
    """Return an image (H, W, 3) as a small JPEG inside a data URI."""
    image = Image.fromarray(rgb)
    if image.width > _JPEG_WIDTH_PX:
        height = round(image.height * _JPEG_WIDTH_PX / image.width)
        image = image.resize((_JPEG_WIDTH_PX, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=_JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def path_svg(trace: EpisodeTrace) -> str | None:
    """Draw where the end effectors went and where they were planned to go: from above, and height over time.

    Returns:
        Inline SVG, None if the episode has no measured path.
    """
    if not trace.ee_paths:
        return None
    with Canvas("path", 7.3, 2.9, columns=2, ratios=(1.0, 1.35)) as canvas:
        top, height = canvas.axes
        for plan in _some(trace.planned_paths, _MOST_PLANS):
            _draw_plan(top, height, plan, trace)
        for path in trace.ee_paths.values():
            _draw_measured(top, height, path, trace.start_ns)
        top.set(title="End effector from above", xlabel="x / mm", ylabel="y / mm")
        top.set_aspect("equal", adjustable="datalim")
        height.set(title="End effector height", xlabel="time / s", ylabel="z / mm")
        handles, labels = height.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        height.legend(unique.values(), unique.keys(), loc="upper right", ncol=2)
        return canvas.svg()


def latency_svg(latency_ms: NDArray[np.float64]) -> str | None:
    """Draw the distribution of chunk latency, with its median and 99th percentile.

    Returns:
        Inline SVG, None without chunks.
    """
    if not len(latency_ms):
        return None
    p50, p99 = np.percentile(latency_ms, (50, 99))
    with Canvas("latency", 3.55, 2.9) as canvas:
        (axes,) = canvas.axes
        counts, _, _ = axes.hist(latency_ms, bins=_edges(latency_ms).tolist(), color=ACCENT)
        top = 1.3 * float(np.max(counts))
        for value, name, y in ((p50, "p50", 0.97), (p99, "p99", 0.86)):
            axes.plot((value, value), (0, y * top), color=INK, linewidth=0.8, linestyle=(0, (3, 3)))
            axes.annotate(
                f"{name} {value:.0f} ms", (value, y * top), (4, 0), textcoords="offset points", va="top", fontsize=8.5
            )
        axes.set_ylim(0, top)
        axes.set(title="Chunk latency", xlabel="observation to arrival / ms", ylabel="chunks")
        axes.grid(axis="x", visible=False)
        return canvas.svg()


def joints_svg(joints: Sequence[JointUse]) -> str | None:
    """Draw the used range of every joint between its limits, and its peak share of the velocity limit.

    Returns:
        Inline SVG, None without joints.
    """
    if not joints:
        return None
    rows = np.arange(len(joints))
    lower = np.array([joint.q_lower for joint in joints])
    span = np.array([joint.q_upper for joint in joints]) - lower
    start = (np.array([joint.q_min for joint in joints]) - lower) / span * 100
    stop = (np.array([joint.q_max for joint in joints]) - lower) / span * 100
    speed = np.array([min(joint.speed_fraction, 1.5) for joint in joints]) * 100
    with Canvas("joints", 11.1, 0.75 + 0.24 * len(joints), columns=2, ratios=(1.35, 1.0)) as canvas:
        positions, speeds = canvas.axes
        for axes, left, width in ((positions, start, np.maximum(stop - start, 0.6)), (speeds, 0, speed)):
            axes.barh(rows, 100, height=0.46, color=FAINT)
            axes.barh(rows, width, left=left, height=0.46, color=ACCENT)
            axes.set(xlim=(0, max(100, float(np.max(left + width)) + 2)), ylim=(len(joints) - 0.4, -0.6))
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
        positions.set_yticks(rows, [_short(joint.name) for joint in joints])
        positions.set(title="Joint range used", xlabel="% of the way from lower to upper limit")
        speeds.set_yticks(rows, [f"{joint.peak_speed:.2f} rad/s" for joint in joints])
        speeds.set(title="Peak joint speed", xlabel="% of the velocity limit at that position")
        return canvas.svg()


class Canvas:
    """One figure in the report's style; axes side by side."""

    def __init__(
        self, name: str, width_in: float, height_in: float, columns: int = 1, ratios: Sequence[float] = (1.0,)
    ) -> None:
        self._name, self._size, self._columns, self._ratios = name, (width_in, height_in), columns, ratios

    def __enter__(self) -> Canvas:
        self._context = mpl.rc_context(cast(Any, _STYLE))
        self._context.__enter__()
        self.figure = Figure(figsize=self._size, layout="constrained")
        grid = self.figure.subplots(1, self._columns, squeeze=False, gridspec_kw={"width_ratios": self._ratios})
        self.axes: tuple[Axes, ...] = tuple(grid[0])
        return self

    def __exit__(self, *_: object) -> None:
        self._context.__exit__(None, None, None)

    def svg(self) -> str:
        """Return the figure as an inline element that scales with its box."""
        buffer = io.StringIO()
        self.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        text = buffer.getvalue()
        return text[text.index("<svg") :].replace("<svg ", f'<svg class="figure {self._name}" ', 1)


def _draw_measured(top: Axes, height: Axes, path: PoseTrack, start_ns: int) -> None:
    rows = _some(range(len(path.stamps_ns)), _MOST_POINTS)
    x, y, z = path.p_base_ee[list(rows)].T * _MM_PER_M
    top.plot(x, y, color=INK, linewidth=1.4)
    top.plot(x[:1], y[:1], marker="o", markersize=5, color=INK, linestyle="none", markerfacecolor="white")
    top.plot(x[-1:], y[-1:], marker="o", markersize=5, color=INK, linestyle="none")
    height.plot((path.stamps_ns[list(rows)] - start_ns) / _NS_PER_S, z, color=INK, linewidth=1.4, label="executed")


def _draw_plan(top: Axes, height: Axes, plan: PlannedPath, trace: EpisodeTrace) -> None:
    style: dict[str, Any] = {"color": ACCENT, "linewidth": 0.9, "alpha": 0.45}
    x, y, z = plan.p_base_ee.T * _MM_PER_M
    top.plot(x, y, **style)
    dt_ns = trace.chunks.dt_ns if trace.chunks is not None else 0
    if dt_ns:
        times_s = (plan.start_ns - trace.start_ns + dt_ns * np.arange(len(z))) / _NS_PER_S
        height.plot(times_s, z, label="planned", **style)


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Equal bins over all values; never narrower than 1 ms in all."""
    low, high = float(values.min()), float(values.max())
    margin = max(0.5, 0.05 * (high - low))
    edges: NDArray[np.float64] = np.linspace(low - margin, high + margin, _BINS + 1)
    return edges


def _some(items: Sequence[Any], most: int) -> Sequence[Any]:
    """At most `most` of the items, evenly spaced, first and last included."""
    if len(items) <= most:
        return items
    return [items[index] for index in np.linspace(0, len(items) - 1, most).round().astype(int)]


def _short(name: str) -> str:
    """The telling end of a joint's name: fr3_joint4 -> joint4."""
    return name.rsplit("_", 1)[-1]
