"""Everything that is rendered of a running world: colour and depth always, the mask of an object when asked."""

from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.camera.rig import CameraSpec
from vla3d_ros.errors import BringUpError
from vla3d_ros.twin.camera_source import RenderedSet
from vla3d_ros.twin.depth_renderer import DepthRenderer, depth_cameras
from vla3d_ros.twin.ground_truth import TruthRenderer
from vla3d_ros.twin.renderer import Float, TwinRenderer
from vla3d_ros.twin.world import TwinWorld


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ObjectMask:
    """Where an object is seen in a camera's picture of one instant: mask (H, W) bool."""

    camera: CameraSpec
    stamp_ns: int
    mask: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Request:
    camera: CameraSpec
    body: str
    not_before_ns: int
    answer: Future[ObjectMask]


class MaskRequests:
    """Questions from any thread to the one that renders."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[_Request] = queue.SimpleQueue()

    def ask(self, camera: CameraSpec, body: str, not_before_ns: int) -> Future[ObjectMask]:
        """Ask for the mask of a body in the next picture that is not older than an instant of simulated time."""
        answer: Future[ObjectMask] = Future()
        self._waiting.put(_Request(camera=camera, body=body, not_before_ns=not_before_ns, answer=answer))
        return answer

    def take(self, stamp_ns: int) -> list[_Request]:
        """Return what can be answered with a picture of this instant."""
        asked = [self._waiting.get() for _ in range(self._waiting.qsize())]
        for request in asked:
            if request.not_before_ns > stamp_ns:
                self._waiting.put(request)
        return [request for request in asked if request.not_before_ns <= stamp_ns]

    def refuse(self) -> None:
        """Tell whoever still waits that there will be no picture any more."""
        while not self._waiting.empty():
            self._waiting.get().answer.set_exception(BringUpError("the twin is not running: it was stopped or failed"))


class PictureMaker:
    """Lives in the rendering thread: create, use and close it there."""

    def __init__(self, colour: TwinRenderer, world: TwinWorld, requests: MaskRequests) -> None:
        """Create the OpenGL contexts that depth needs.

        Args:
            colour: Renders all cameras of the world's rig; closed with this.
            world: Only its model and rig are read.
            requests: Who asks for masks.

        Raises:
            DependencyError: If there is no offscreen OpenGL.
        """
        self._model, self._requests, self._colour = world.model, requests, colour
        with_depth = depth_cameras(world.rig.cameras)
        self._depth = DepthRenderer(world.model, with_depth) if with_depth else None

    def make(self, stamp_ns: int, render_state: Float, now_ns: Callable[[], int]) -> RenderedSet:
        """Render one instant, and answer who asked for a mask in it; `now_ns` tells when that was done."""
        images = self._colour.render(render_state)
        depths_m = {} if self._depth is None else self._depth.render(render_state)
        for request in self._requests.take(stamp_ns):
            self._answer(request, stamp_ns, render_state)
        return RenderedSet(stamp_ns=stamp_ns, receive_ns=now_ns(), images=images, depths_m=depths_m)

    def _answer(self, request: _Request, stamp_ns: int, render_state: Float) -> None:
        try:
            renderer = TruthRenderer(self._model, [request.camera], [request.body])
            try:
                picture = renderer.render(render_state)[request.camera.name]
            finally:
                renderer.close()
        except Exception as error:  # the asker's trouble, raised in the asker's thread
            request.answer.set_exception(error)
            return
        request.answer.set_result(ObjectMask(camera=request.camera, stamp_ns=stamp_ns, mask=picture.objects > 0))

    def close(self) -> None:
        """Free the OpenGL contexts."""
        self._colour.close()
        if self._depth is not None:
            self._depth.close()
