"""A picture of a retargeted demonstration: both paths, and the distance between them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vla3d_ros.replay.demonstration import pose_errors

if TYPE_CHECKING:
    from vla3d_ros.replay.retarget import RetargetTrack

_COLOURS = ("#3b6ea5", "#c17f3a", "#5b8f5b")
_GREY = "#8a8a8a"


def plot_retarget(path: Path, title: str, track: RetargetTrack) -> Path | None:
    """Draw demonstrated (grey) and executed (colour) position, and the errors in mm and degrees.

    Args:
        path: PNG file to write.
        title: Name of the demonstration.
        track: Both pose tracks.

    Returns:
        The file, or None if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(9.0, 6.0), layout="constrained")
    position, error = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for axis, (name, colour) in enumerate(zip("xyz", _COLOURS, strict=True)):
        position.plot(track.times_s, track.Ts_base_demonstrated[:, axis, 3], color=_GREY, linewidth=2.5, alpha=0.5)
        position.plot(track.times_s, track.Ts_base_executed[:, axis, 3], color=colour, linewidth=1.0, label=name)
    position.set_ylabel("end effector in base (m)")
    position.set_title(f"{title}: demonstrated (grey) and executed")
    position.legend(frameon=False, ncols=3)
    mm, deg = pose_errors(track.Ts_base_demonstrated, track.Ts_base_executed)
    error.plot(track.times_s, mm, color=_COLOURS[0], linewidth=1.0, label="position (mm)")
    error.plot(track.times_s, deg, color=_COLOURS[1], linewidth=1.0, label="rotation (deg)")
    error.set_ylabel("error")
    error.set_xlabel("time after the start-up ramp (s)")
    error.legend(frameon=False, ncols=2)
    for axes in (position, error):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e6e6e6", linewidth=0.6)
    figure.savefig(path, dpi=120)
    return path
