"""Eyes that see nothing and remember what there was to see: pictures are made later, of the few instants one wants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vla3d_ros.camera.rig import CameraSpec
from vla3d_ros.twin.renderer import Float, Rgb


class ClosedEyes:
    """Stands in for a `TwinRenderer` where nobody looks at the pictures."""

    def __init__(self, model: Any, cameras: Sequence[CameraSpec]) -> None:
        """Take the cameras; nothing is rendered."""
        self._black = {
            camera.name: np.zeros((camera.model.height_px, camera.model.width_px, 3), np.uint8) for camera in cameras
        }
        self.last: Float | None = None
        """The newest render state."""

    def render(self, render_state: Float) -> dict[str, Rgb]:
        """Return black pictures, always the same ones."""
        self.last = render_state
        return dict(self._black)

    def close(self) -> None:
        """Nothing to free."""
