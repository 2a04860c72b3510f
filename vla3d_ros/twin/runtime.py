"""Run a world in real time: one physics thread, one render thread, callers everywhere else.

Simulated time is the only clock the outside sees. Physics is paced to the wall clock, never catches up after a delay
and never runs more than one camera period ahead of the images: a slow machine slows the world, not the result.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from vla3d_ros.camera.rig import CameraSpec
from vla3d_ros.errors import BringUpError
from vla3d_ros.twin.camera_source import ImageMailbox, TwinCameraSource
from vla3d_ros.twin.pacing import Pacing
from vla3d_ros.twin.picture_maker import MaskRequests, ObjectMask, PictureMaker
from vla3d_ros.twin.renderer import Float, TwinRenderer
from vla3d_ros.twin.world import JointSample, TwinWorld

Result = TypeVar("Result")

_NS = 1_000_000_000
_WAIT_S = 0.001  # between two looks at whether the graph has caught up
_LATE_S = 0.05  # further behind than this the world falls behind for good
_SPEED_WINDOW = 60  # camera ticks over which the real-time factor is measured
_START_TIMEOUT_S = 60.0


class _Ticker:
    """Instants of a fixed rate in simulated time; exact on average whatever the control period."""

    def __init__(self, start_ns: int, rate_hz: float) -> None:
        self._start_ns, self._rate_hz, self._count = start_ns, rate_hz, 0

    def is_due(self, now_ns: int) -> bool:
        """Whether an instant has come; asks once for each."""
        if now_ns < self._start_ns + round(self._count * _NS / self._rate_hz):
            return False
        self._count += 1
        return True


class TwinRuntime:
    """Owns the world while it runs; `call` is the only way to it from other threads."""

    def __init__(
        self,
        world: TwinWorld,
        *,
        real_time_factor: float = 1.0,
        state_hz: float = 200.0,
        on_clock: Callable[[int], None] | None = None,
        on_joint_state: Callable[[JointSample], None] | None = None,
        on_failure: Callable[[BaseException], object] | None = None,
        pacing: Pacing | None = None,
    ) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            world: The world; not to be touched by anyone else between `start` and `stop`.
            real_time_factor: Speed asked for; the measured one is `real_time_factor`.
            state_hz: Calls of `on_clock` and of `on_joint_state` per simulated second.
            on_clock: Gets the simulated time in ns, in the physics thread; must be quick.
            on_joint_state: Gets all joints, in the physics thread; must be quick.
            on_failure: Gets the exception that ended a thread, in that thread.
            pacing: Whom simulated time has to wait for; None = nobody.
        """
        self._pacing = pacing
        self._world = world
        self._asked_factor = real_time_factor
        self._cameras = _Ticker(world.time_ns, world.rig.rate_hz)
        self._states_due = _Ticker(world.time_ns, state_hz)
        self._on_clock, self._on_joint_state, self._on_failure = on_clock, on_joint_state, on_failure
        self._calls: queue.SimpleQueue[tuple[Callable[[TwinWorld], Any], Future[Any]]] = queue.SimpleQueue()
        self._mask_requests = MaskRequests()
        self._states: queue.Queue[tuple[int, Float]] = queue.Queue(maxsize=1)
        self._is_renderer_free = threading.Event()
        self._is_renderer_up = threading.Event()
        self._is_stopping = threading.Event()
        self._speed: deque[tuple[float, int]] = deque(maxlen=_SPEED_WINDOW)
        self._physics = threading.Thread(target=self._guarded, args=(self._run_physics,), name="twin-physics")
        self._render = threading.Thread(target=self._guarded, args=(self._run_render,), name="twin-render")
        self.images = ImageMailbox()
        self.failure: BaseException | None = None

    @property
    def real_time_factor(self) -> float:
        """Simulated over wall seconds, measured over the last two seconds or so; 0.0 before that."""
        samples = list(self._speed)
        if not samples:
            return 0.0
        (wall0_s, sim0_ns), (wall1_s, sim1_ns) = samples[0], samples[-1]
        return (sim1_ns - sim0_ns) / _NS / max(wall1_s - wall0_s, 1e-9)

    def camera_sources(self) -> tuple[TwinCameraSource, ...]:
        """Return one source per camera of the rig."""
        return tuple(TwinCameraSource(camera, self.images) for camera in self._world.rig.cameras)

    def start(self) -> None:
        """Start rendering, then physics.

        Raises:
            DependencyError: If there is no offscreen OpenGL.
            BringUpError: If the renderer does not come up.
        """
        self._render.start()
        is_up = self._is_renderer_up.wait(_START_TIMEOUT_S)
        if self.failure is not None:
            self.stop()
            raise self.failure
        if not is_up:
            self.stop()
            raise BringUpError(f"the twin's renderer did not start within {_START_TIMEOUT_S:g} s")
        self._physics.start()

    def stop(self) -> None:
        """Stop both threads and wait for them; callers that are waiting get an error. Safe to call twice."""
        self._is_stopping.set()
        self._is_renderer_free.set()
        current = threading.current_thread()
        for thread in (self._physics, self._render):
            if thread.is_alive() and thread is not current:
                thread.join()
        self._refuse_calls()

    def call(self, function: Callable[[TwinWorld], Result], timeout_s: float = 10.0) -> Result:
        """Run a function on the world, between two steps.

        Args:
            function: Must be quick; whatever it raises is raised here.
            timeout_s: Longest wait, seconds of wall time.

        Raises:
            BringUpError: If the twin is not running.
        """
        if threading.current_thread() is self._physics or not self._physics.ident:
            return function(self._world)
        future: Future[Result] = Future()
        self._calls.put((function, future))
        if not self._physics.is_alive():
            self._refuse_calls()
        return future.result(timeout_s)

    def ask_mask(self, camera: CameraSpec, body: str) -> Future[ObjectMask]:
        """Ask where a body is seen in the first picture that is taken after this call; answered while rendering.

        Args:
            camera: One of the rig's.
            body: Name of a body of the world's model.

        Raises:
            BringUpError: If the twin is not running.
        """
        now_ns = self.call(lambda world: world.time_ns)
        answer = self._mask_requests.ask(camera, body, now_ns)
        if not self._render.is_alive():
            self._mask_requests.refuse()
        return answer

    # ---------------------------------------------------------------------------------------------- physics

    def _run_physics(self) -> None:
        world = self._world
        wall0_s, sim0_ns = time.monotonic(), world.time_ns
        while not self._is_stopping.is_set():
            self._serve_calls()
            if self._pacing and self._pacing.lagging(world.time_ns, time.monotonic()):
                time.sleep(_WAIT_S)
                continue
            self._publish()
            world.step()
            target_s = wall0_s + (world.time_ns - sim0_ns) / _NS / self._asked_factor
            ahead_s = target_s - time.monotonic()
            if ahead_s > 0:
                time.sleep(ahead_s)
            elif ahead_s < -_LATE_S:
                wall0_s, sim0_ns = time.monotonic(), world.time_ns

    def _publish(self) -> None:
        world = self._world
        now_ns = world.time_ns
        if self._states_due.is_due(now_ns):
            if self._on_clock:
                self._on_clock(now_ns)
            if self._on_joint_state:
                self._on_joint_state(world.joint_state())
        if self._cameras.is_due(now_ns):
            self._is_renderer_free.wait()
            if self._is_stopping.is_set():
                return
            self._is_renderer_free.clear()
            self._states.put((now_ns, world.render_state()))
            self._speed.append((time.monotonic(), now_ns))

    def _serve_calls(self) -> None:
        while not self._calls.empty():
            function, future = self._calls.get()
            try:
                future.set_result(function(self._world))
            except Exception as error:  # the caller's error, raised in the caller's thread
                future.set_exception(error)

    def _refuse_calls(self) -> None:
        while not self._calls.empty():
            _, future = self._calls.get()
            future.set_exception(BringUpError("the twin is not running: it was stopped or has failed"))

    # --------------------------------------------------------------------------------------------- rendering

    def _run_render(self) -> None:
        colour = TwinRenderer(self._world.model, self._world.rig.cameras)
        pictures = PictureMaker(colour, self._world, self._mask_requests)
        self._is_renderer_free.set()
        self._is_renderer_up.set()
        try:
            while not self._is_stopping.is_set():
                try:
                    state = self._states.get(timeout=0.1)
                except queue.Empty:
                    continue
                self._render_one(pictures, *state)
        finally:
            pictures.close()

    def _render_one(self, pictures: PictureMaker, stamp_ns: int, render_state: Float) -> None:
        self.images.put(pictures.make(stamp_ns, render_state, lambda: self._world.time_ns))
        self._is_renderer_free.set()

    def _guarded(self, body: Callable[[], None]) -> None:
        """Run a thread's body; if it fails, remember why, wake everybody and stop."""
        try:
            body()
        except BaseException as error:  # reported to whoever started the runtime
            self.failure = error
            if self._on_failure:
                self._on_failure(error)
        finally:
            self._is_stopping.set()
            self._is_renderer_free.set()
            self._is_renderer_up.set()
            self._refuse_calls()
            self._mask_requests.refuse()
