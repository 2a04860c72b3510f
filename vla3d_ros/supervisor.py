"""Starts the processes of a deployment, watches them, and ends them without leaving one behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

from vla3d_ros.deployment import Deployment, ProcessSpec

_GRACE_S = 8.0
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
# The linear algebra here is of size 7: more threads only fight for the cores that cameras and policy need.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class Supervisor:
    """The child processes of one deployment, as a context manager.

    Children get sessions of their own, so that Ctrl-C reaches only the parent, which then ends them in reverse
    order: SIGTERM, and SIGKILL after a grace period. If the parent is killed, Linux ends the children.
    """

    def __init__(self, deployment: Deployment, log_dir: Path, environment: Mapping[str, str]) -> None:
        self._deployment = deployment
        self._log_dir = log_dir
        self._environment = {
            **_ONE_THREAD,
            **environment,
            "VLA3D_END_WITH_PARENT": str(os.getpid()),
            "PYTHONUNBUFFERED": "1",
        }
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._announced: set[str] = set()

    def __enter__(self) -> Supervisor:
        self._log_dir.mkdir(parents=True, exist_ok=True)
        parameter_file = self._log_dir / "parameters.yaml"
        parameter_file.write_text(self._deployment.parameter_file_text(), encoding="utf-8")
        try:
            for process in self._deployment.processes:
                with _interrupts_wait():
                    self._start(process, parameter_file)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def log_file(self, process: str) -> Path:
        """Return where a process' output goes."""
        return self._log_dir / f"{process}.log"

    def pid(self, process: str) -> int:
        """Return a process' id."""
        return self._children[process].pid

    def dead_processes(self) -> list[str]:
        """Return one sentence per process that has ended by itself, with the last line of its log."""
        return [
            f"process '{name}' ended with code {child.returncode}: {self._last_line(name)} (log: {self.log_file(name)})"
            for name, child in self._children.items()
            if child.poll() is not None
        ]

    def newly_dead_processes(self) -> list[str]:
        """Return the sentences about processes that ended since the last call."""
        dead = [name for name, child in self._children.items() if child.poll() is not None]
        fresh = [name for name in dead if name not in self._announced]
        self._announced.update(fresh)
        return [line for line in self.dead_processes() if any(f"'{name}'" in line for name in fresh)]

    def has_ended(self, process: str) -> bool:
        """Whether a process has ended by itself."""
        return self._children[process].poll() is not None

    def restart(self, process: str) -> None:
        """End a process if it still runs, and start it anew; its nodes have to be brought up again."""
        child = self._children[process]
        _signal(child, signal.SIGKILL)
        child.wait()
        self._announced.discard(process)
        spec = next(spec for spec in self._deployment.processes if spec.name == process)
        self._start(spec, self._log_dir / "parameters.yaml")

    def replace(self, deployment: Deployment) -> tuple[str, ...]:
        """Go over to a deployment that differs in parameters only.

        Returns:
            The nodes that were started anew, because their process has a node with other parameters; they have to be
            brought up again.
        """
        before, self._deployment = self._deployment, deployment
        changed = [
            process
            for process in deployment.processes
            if any(deployment.parameters[node] != before.parameters[node] for node in process.nodes)
        ]
        for process in changed:
            _signal(self._children[process.name], signal.SIGTERM)
        parameter_file = self._log_dir / "parameters.yaml"
        parameter_file.write_text(deployment.parameter_file_text(), encoding="utf-8")
        deadline = time.monotonic() + _GRACE_S
        for process in changed:
            self._await_end(self._children[process.name], deadline)
            self._announced.discard(process.name)
            with _interrupts_wait():
                self._start(process, parameter_file)
        return tuple(f"/{deployment.namespace}/{node}" for process in changed for node in process.nodes)

    def stop(self) -> None:
        """End all children, last started first; returns when none is left."""
        for child in reversed(self._children.values()):
            _signal(child, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_S
        for child in self._children.values():
            self._await_end(child, deadline)

    @staticmethod
    def _await_end(child: subprocess.Popen[bytes], deadline: float) -> None:
        try:
            child.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _signal(child, signal.SIGKILL)
            child.wait()

    def _start(self, process: ProcessSpec, parameter_file: Path) -> None:
        command = self._deployment.process_command(process, parameter_file)
        with self.log_file(process.name).open("ab" if process.name in self._children else "wb") as log:
            self._children[process.name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(self._environment),
                start_new_session=True,
            )

    def _last_line(self, process: str) -> str:
        lines = self.log_file(process).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it printed nothing"


@contextlib.contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Let Ctrl-C wait until a child that is being started is on the list of those to be ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    before = {number: signal.signal(number, lambda number, _: received.append(number)) for number in _INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        raise KeyboardInterrupt


def _signal(child: subprocess.Popen[bytes], number: int) -> None:
    if child.poll() is None:
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            child.wait()
