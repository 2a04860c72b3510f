"""The Trigger services of a robot's nodes, and what is done about each when its answer is lost.

A question may be put again only if that does no harm when the first request was carried out, and when somebody else has
acted in between. The rules, strictest where an arm could move:

- `adapter/stop`, `adapter/disarm`: again, as long as patience lasts; a repetition errs to rest.
- `adapter/arm`: never again: in between, somebody may have disarmed on purpose. It was granted if the arm is armed now.
- `adapter/reset`: never again: it could clear a stop that came in between. It was granted if nothing is stopped now.
- `adapter/home`: again while the arm is armed and the adapter's state has not changed since: nobody stopped it.
- `recorder/start`, `start_forced`: never again: it could open a second episode. Granted if another one is open now.
- `recorder/stop`: never again: it could end the next episode. Granted if the one that was open is closed now.
- `recorder/discard`: never again: it could throw away another episode. Granted if the recorder says so now.
- `recorder/success`, `failure`: again, unless another episode was opened meanwhile, which that would end.
- `recorder/check`, the twin's: again: they only look, or set the same scene.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from std_srvs.srv import Trigger

from vla3d_ros.errors import TransportError
from vla3d_ros.ros import qos
from vla3d_ros.ros.persistent_client import OnSilence, PersistentClient, Question, Silence, ask_again, only_wait


class RobotServices:
    """Clients of one robot's services. Ask in any thread; the rest is done where the node spins."""

    def __init__(self, node: Node, services: Iterable[str], *, patience_s: float = 5.0) -> None:
        """Create the clients, and listen to what shows that something was done.

        Args:
            node: In the robot's namespace.
            services: Names such as `adapter/stop`, `recorder/start` or `/twin/place`.
            patience_s: A question is given up after so long without an answer.
        """
        self._clients = {name: PersistentClient(node, Trigger, name, patience_s=patience_s) for name in services}
        self._adapter: Mapping[str, str] = {}
        self._recorder: Mapping[str, str] = {}
        nodes = {name.partition("/")[0] for name in self._clients}
        if "adapter" in nodes:
            node.create_subscription(DiagnosticStatus, "adapter/state", self._on_adapter_state, qos.LATCHED)
        if "recorder" in nodes:
            node.create_subscription(DiagnosticStatus, "recorder/status", self._on_recorder_status, qos.EVENT)
        self._looks: Mapping[str, Callable[[], OnSilence]] = {
            "adapter/stop": lambda: ask_again,
            "adapter/disarm": lambda: ask_again,
            "adapter/arm": lambda: self._look_whether_armed,
            "adapter/reset": lambda: self._look_whether_reset,
            "adapter/home": lambda: partial(self._look_whether_undisturbed, self._adapter),
            "recorder/start": lambda: partial(self._look_for_episode, self._path),
            "recorder/start_forced": lambda: partial(self._look_for_episode, self._path),
            "recorder/stop": lambda: partial(self._look_for_end, self._path),
            "recorder/discard": lambda: partial(self._look_for_discarded, self._recorder.get("last", "")),
            "recorder/success": lambda: partial(self._look_for_others, self._path),
            "recorder/failure": lambda: partial(self._look_for_others, self._path),
            "recorder/check": lambda: ask_again,
            "/twin/place": lambda: ask_again,
            "/twin/save_log": lambda: ask_again,
            "/twin/show_target": lambda: ask_again,
        }

    def is_ready(self, service: str) -> bool:
        """Whether somebody offers a service."""
        return self._clients[service].is_ready

    def ask(
        self,
        service: str,
        on_over: Callable[[Question], None] = lambda question: None,
        on_delay: Callable[[str], None] | None = None,
    ) -> Question:
        """Call a service without waiting; see `PersistentClient.ask`."""
        look = self._looks.get(service, lambda: only_wait)()
        return self._clients[service].ask(Trigger.Request(), on_silence=look, on_over=on_over, on_delay=on_delay)

    def call(self, service: str) -> str:
        """Call a service, wait, and return what it said; in another thread than the one that spins the node.

        Raises:
            TransportError: If nobody offers it, it refuses, or it does not answer.
        """
        look = self._looks.get(service, lambda: only_wait)()
        response = self._clients[service].call(Trigger.Request(), on_silence=look)
        if not response.success:
            raise TransportError(f"'{service}' refused: {response.message}")
        return str(response.message)

    # --------------------------------------------------------------------------------- the arm's effects

    def _look_whether_armed(self) -> Any:
        return _granted("armed") if self._adapter.get("armed") == "armed" else Silence.WAIT

    def _look_whether_reset(self) -> Any:
        return _granted("no stop is latched") if self._adapter.get("stopped") == "" else Silence.WAIT

    def _look_whether_undisturbed(self, before: Mapping[str, str]) -> Any:
        is_same = self._adapter is before and before.get("armed") == "armed"
        return Silence.ASK_AGAIN if is_same else Silence.WAIT

    # ---------------------------------------------------------------------------- the recorder's effects

    @property
    def _path(self) -> str:
        return self._recorder.get("path", "")

    def _look_for_episode(self, before: str) -> Any:
        return _granted(self._path) if self._path not in ("", before) else Silence.WAIT

    def _look_for_end(self, before: str) -> Any:
        is_closed = before != "" and self._path == ""
        return _granted(self._recorder.get("last", "")) if is_closed else Silence.WAIT

    def _look_for_discarded(self, before: str) -> Any:
        last = self._recorder.get("last", "")
        return _granted(last) if last.startswith("discarded") and last != before else Silence.WAIT

    def _look_for_others(self, before: str) -> Any:
        return Silence.ASK_AGAIN if self._path in ("", before) else Silence.WAIT

    def _on_adapter_state(self, msg: DiagnosticStatus) -> None:
        self._adapter = {value.key: value.value for value in msg.values}

    def _on_recorder_status(self, msg: DiagnosticStatus) -> None:
        self._recorder = {value.key: value.value for value in msg.values}


def _granted(message: str) -> Trigger.Response:
    return Trigger.Response(success=True, message=message)
