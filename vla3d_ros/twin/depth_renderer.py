"""Depth pictures of those of the twin's cameras whose rig settings ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.camera.rig import CameraSpec
from vla3d_ros.twin.renderer import Float, RenderContexts

_FAR_M = 15.0  # the renderer's own end of the world is nothing to be seen


def depth_cameras(cameras: Sequence[CameraSpec]) -> tuple[CameraSpec, ...]:
    """Return the cameras with `settings: {depth: true}`."""
    return tuple(camera for camera in cameras if camera.settings.get("depth"))


class DepthRenderer:
    """Renders depth aligned to the colour pictures; one thread only, as `TwinRenderer`."""

    def __init__(self, model: Any, cameras: Sequence[CameraSpec]) -> None:
        """Create the OpenGL contexts.

        Args:
            model: The world's `mujoco.MjModel`.
            cameras: Those that give depth.

        Raises:
            DependencyError: If there is no offscreen OpenGL.
        """
        self._contexts = RenderContexts(model, cameras)

    def render(self, render_state: Float) -> dict[str, NDArray[np.float32]]:
        """Return (H, W) float32 metres along the optical axis by camera, NaN where there is nothing."""
        found = {}
        for name, renderer in self._contexts.scenes(render_state):
            renderer.enable_depth_rendering()
            depth_m = np.array(renderer.render(), np.float32)
            renderer.disable_depth_rendering()
            depth_m[depth_m > _FAR_M] = np.nan
            found[name] = depth_m
        return found

    def close(self) -> None:
        """Free the OpenGL contexts; safe to call twice."""
        self._contexts.close()
