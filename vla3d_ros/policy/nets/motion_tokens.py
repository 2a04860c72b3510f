"""VIPA-VLA's motion tokens (3.2.2): waypoints as three bins each, and the scale that makes relative depth metric.

They are training targets for a context transformer's vocabulary; nothing of them runs at deployment. Needs no torch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

LOWER_M = np.array([-0.5, -0.5, 0.0])
UPPER_M = np.array([0.5, 0.5, 1.0])
BINS = 1024


def motion_tokens(points_camera: Float) -> NDArray[np.int64]:
    """Bin waypoints uniformly; the paper clips to the cubic metre in front of the camera, and so does this.

    Args:
        points_camera: (T, 3) m.

    Returns:
        (T, 3) in 0 ... 1023.
    """
    share = (points_camera - LOWER_M) / (UPPER_M - LOWER_M)
    binned: NDArray[np.int64] = np.clip(np.floor(share * BINS), 0, BINS - 1).astype(np.int64)
    return binned


def waypoints(tokens: NDArray[np.int64]) -> Float:
    """Return the centres (T, 3) m of the bins."""
    centres: Float = LOWER_M + (tokens + 0.5) / BINS * (UPPER_M - LOWER_M)
    return centres


def metric_scale(metric_m: Float, relative: Float) -> float:
    """Return s = median(z_metric / z_relative), which turns relative depths into metres.

    Args:
        metric_m: (N,) known depths, m.
        relative: (N,) depths of the same points up to scale, above 0.
    """
    return float(np.median(metric_m / relative))
