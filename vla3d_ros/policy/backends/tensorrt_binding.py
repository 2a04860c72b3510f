"""The TensorRT Python API, of which there are two: TensorRT itself and TensorRT for RTX. Loaded when it is needed."""

from __future__ import annotations

import importlib
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from vla3d_ros.errors import ConfigError, DependencyError

_LOG = logging.getLogger(__name__)
_REMEMBERED_MESSAGES = 8

# Kind of engine: the module, and what brings it.
_MODULES = {
    "tensorrt": ("tensorrt", "install TensorRT from its vendor: docs/how-to/tensorrt.md says what on which machine"),
    "tensorrt_rtx": (
        "tensorrt_rtx_bindings",
        "'pip install tensorrt-rtx-cu13-libs tensorrt-rtx-cu13-bindings' (Linux, x86-64, under NVIDIA's licence)",
    ),
}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TensorRtBinding:
    """One of the two modules, and a logger through which it speaks.

    Attributes:
        kind: `tensorrt` or `tensorrt_rtx`.
        module: The Python module.
        logger: Forwards to `logging`; an object of the module's `ILogger`.
        messages: The newest errors and warnings it spoke, for the text of an exception.
    """

    kind: str
    module: Any
    logger: Any
    messages: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_MESSAGES))

    @property
    def title(self) -> str:
        """Kind and version, e.g. `tensorrt_rtx 1.7.1.116`."""
        return f"{self.kind} {self.module.__version__}"

    @property
    def times_kernels(self) -> bool:
        """Whether a build tries kernels on the GPU, so that timings are worth keeping; RTX compiles when it runs."""
        return self.kind == "tensorrt"

    def last_messages(self) -> str:
        """Return what was said since the last call, in one line, and forget it."""
        said = "; ".join(self.messages) or "TensorRT gave no reason"
        self.messages.clear()
        return said


def load_binding(kind: str) -> TensorRtBinding:
    """Import a TensorRT module.

    Args:
        kind: `tensorrt` or `tensorrt_rtx`.

    Raises:
        ConfigError: If the kind is unknown.
        DependencyError: If the module or a library below it is missing; says what to install.
    """
    if kind not in _MODULES:
        raise ConfigError(f"unknown kind of TensorRT '{kind}': expected one of {sorted(_MODULES)}")
    name, remedy = _MODULES[kind]
    try:
        module = importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise DependencyError(f"engine '{kind}' needs the Python module {name} ({error}); {remedy}") from error
    messages: deque[str] = deque(maxlen=_REMEMBERED_MESSAGES)
    return TensorRtBinding(kind=kind, module=module, logger=_forwarding_logger(module, messages), messages=messages)


def _forwarding_logger(module: Any, messages: deque[str]) -> Any:
    severity = module.ILogger.Severity
    levels = {
        severity.INTERNAL_ERROR: logging.ERROR,
        severity.ERROR: logging.ERROR,
        severity.WARNING: logging.WARNING,
    }

    class ForwardingLogger(module.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            module.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            level = levels.get(severity, logging.DEBUG)
            if level >= logging.ERROR:  # an exception will carry it
                messages.append(message.strip())
            _LOG.log(logging.WARNING if level == logging.ERROR else logging.DEBUG, "%s", message.strip())

    return ForwardingLogger()
