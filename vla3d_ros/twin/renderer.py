"""Images of the twin's cameras, rendered without a display."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.camera.rig import CameraSpec
from vla3d_ros.errors import DependencyError
from vla3d_ros.twin.engine import GL_PACKAGES, import_mujoco, require_gl
from vla3d_ros.twin.model import COLLISION_GROUP, VISIBLE_GROUP

Float = NDArray[np.float64]
Rgb = NDArray[np.uint8]


class RenderContexts:
    """OpenGL contexts for every picture size of some cameras, and the scene as each of them sees it."""

    def __init__(self, model: Any, cameras: Sequence[CameraSpec]) -> None:
        """Create one OpenGL context per image size.

        Args:
            model: The world's `mujoco.MjModel`; it is only read.
            cameras: Cameras of the rig which the model was built with.

        Raises:
            DependencyError: If there is no offscreen OpenGL.
        """
        require_gl()
        mujoco = import_mujoco()
        self._model = model
        self._data = mujoco.MjData(model)
        self._cameras = {camera.name: (camera.model.height_px, camera.model.width_px) for camera in cameras}
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = 0
        self._option.geomgroup[VISIBLE_GROUP] = 1
        assert VISIBLE_GROUP != COLLISION_GROUP
        try:
            sizes = sorted(set(self._cameras.values()))
            self._renderers = {(height, width): mujoco.Renderer(model, height, width) for height, width in sizes}
        except Exception as error:
            raise DependencyError(
                f"OpenGL is installed but gives no offscreen context: {error}; "
                f"try MUJOCO_GL=osmesa, or install: apt-get install {GL_PACKAGES}"
            ) from error

    def posed(self, render_state: Float) -> Any:
        """Return a `mujoco.MjData` in which everything is where the render state has it; valid until the next call."""
        mujoco, data = import_mujoco(), self._data
        unpack_render_state(data, render_state)
        mujoco.mj_kinematics(self._model, data)
        mujoco.mj_comPos(self._model, data)
        mujoco.mj_camlight(self._model, data)
        return data

    def scenes(self, render_state: Float) -> Iterator[tuple[str, Any]]:
        """Yield each camera's name and the `mujoco.Renderer` that is ready to render what it sees."""
        data = self.posed(render_state)
        for name, size in self._cameras.items():
            renderer = self._renderers[size]
            renderer.update_scene(data, camera=name, scene_option=self._option)
            yield name, renderer

    def close(self) -> None:
        """Free the OpenGL contexts; safe to call twice."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers = {}


class TwinRenderer:
    """Renders every camera of a rig from a world's `render_state`.

    OpenGL contexts belong to one thread: create, use and close a renderer in the same one.
    """

    def __init__(self, model: Any, cameras: Sequence[CameraSpec]) -> None:
        """Create the OpenGL contexts; see `RenderContexts`.

        Raises:
            DependencyError: If there is no offscreen OpenGL.
        """
        self._contexts = RenderContexts(model, cameras)

    def render(self, render_state: Float) -> dict[str, Rgb]:
        """Render all cameras.

        Args:
            render_state: What `TwinWorld.render_state` returned, at any time, in any thread.

        Returns:
            (H, W, 3) uint8 RGB by camera name; new arrays on every call.
        """
        return {name: renderer.render() for name, renderer in self._contexts.scenes(render_state)}

    def close(self) -> None:
        """Free the OpenGL contexts; safe to call twice."""
        self._contexts.close()


def pack_render_state(data: Any) -> Float:
    """Copy what the cameras can see of an `MjData`: joints and free bodies, then mocap poses; flat float64."""
    return np.concatenate([data.qpos, data.mocap_pos.ravel(), data.mocap_quat.ravel()])


def unpack_render_state(data: Any, render_state: Float) -> None:
    """Write a packed state into an `MjData` of the same model."""
    nq, nmocap = data.qpos.size, len(data.mocap_pos)
    data.qpos[:] = render_state[:nq]
    data.mocap_pos[:] = render_state[nq : nq + 3 * nmocap].reshape(nmocap, 3)
    data.mocap_quat[:] = render_state[nq + 3 * nmocap :].reshape(nmocap, 4)
