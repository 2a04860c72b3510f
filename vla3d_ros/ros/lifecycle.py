"""The base of every node: managed, outspoken, tidy."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from vla3d_ros.errors import Vla3dError
from vla3d_ros.ros.qos import EVENT

_DIAGNOSTICS_PERIOD_S = 1.0


class ManagedNode(LifecycleNode):
    """A lifecycle node whose transitions say why they failed, with `/diagnostics` from the first day.

    Children override `configure`, `activate`, `deactivate`, `clean_up` and `diagnose`. An exception refuses the
    transition; its text is logged and goes out as an error on `/diagnostics`, where bring-up reads it.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.diagnostics_publisher = super().create_publisher(DiagnosticArray, "/diagnostics", EVENT)
        self._refusal = ""
        self._forward_core_logs()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics_timer = self.create_timer(_DIAGNOSTICS_PERIOD_S, self.publish_diagnostics, clock=steady)

    # ------------------------------------------------------------------------------ what children write

    def configure(self) -> None:
        """Read parameters, build the core, create publishers and subscriptions."""

    def activate(self) -> None:
        """Start threads and timers."""

    def deactivate(self) -> None:
        """Stop what `activate` started; must be safe when nothing was started."""

    def clean_up(self) -> None:
        """Release what `configure` took; must be safe when nothing was taken."""

    def diagnose(self) -> tuple[bool, str, Mapping[str, str]]:
        """Return (is healthy, one sentence, named values)."""
        return True, "running", {}

    # -------------------------------------------------------------------------------------- transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run `configure`."""
        return self._attempt("configure", self.configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run `activate`."""
        super().on_activate(state)
        return self._attempt("activate", self.activate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run `deactivate`."""
        super().on_deactivate(state)
        return self._attempt("deactivate", self.deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run `clean_up`."""
        return self._attempt("clean_up", self.clean_up)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and release whatever the state."""
        return self._attempt("shutdown", self.shut_down)

    def shut_down(self) -> None:
        """Deactivate and clean up; called once more when the process ends."""
        self.deactivate()
        self.clean_up()

    def _attempt(self, what: str, action: Callable[[], None]) -> TransitionCallbackReturn:
        try:
            action()
        except Exception as error:  # the boundary: whatever it was, refuse and say why
            self._refusal = f"{what} refused: {error}"
            expected = isinstance(error, Vla3dError)
            self.get_logger().error(self._refusal if expected else f"{what} failed: {error!r}")
            if not expected:
                logging.getLogger(__name__).exception("%s failed", what)
            self.publish_diagnostics()
            return TransitionCallbackReturn.FAILURE
        self._refusal = ""
        return TransitionCallbackReturn.SUCCESS

    # -------------------------------------------------------------------------------------- diagnostics

    @property
    def now_ns(self) -> int:
        """Now on the ROS clock, nanoseconds."""
        return int(self.get_clock().now().nanoseconds)

    def publish_diagnostics(self) -> None:
        """Publish this node's health now."""
        if not self.context.ok():
            return
        healthy, message, values = (False, self._refusal, {}) if self._refusal else self.diagnose()
        status = DiagnosticStatus(
            level=DiagnosticStatus.OK if healthy else DiagnosticStatus.ERROR,
            name=self.get_fully_qualified_name(),
            message=message,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self.diagnostics_publisher.publish(array)

    def _forward_core_logs(self) -> None:
        package_logger = logging.getLogger("vla3d_ros")
        package_logger.setLevel(logging.INFO)
        package_logger.propagate = False
        package_logger.handlers = [_RosLogHandler(self)]


class _RosLogHandler(logging.Handler):
    """Hands what the cores log to the node's logger."""

    def __init__(self, node: LifecycleNode) -> None:
        super().__init__()
        self._logger = node.get_logger()
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)
