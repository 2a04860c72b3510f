"""The console as a process of its own, started anew whenever it ends: nothing else waits for it."""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from vla3d_ros.deployment import Deployment, ProcessSpec
from vla3d_ros.errors import BringUpError, Vla3dError
from vla3d_ros.page_access import CONSOLE_TOKEN, provide_token, with_token
from vla3d_ros.supervisor import Supervisor

CONSOLE = "console"
_LOOK_S = 0.5
_READY_S, _ASK_S = 45.0, 3.0


def console_parameters(deployment: Deployment, page: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the node `console` for a deployment.

    Args:
        deployment: What runs.
        page: `page_host`, `page_port`, `has_view`.
    """
    gate = (deployment.parameters.get("adapter", {}).get("execution") or {}).get("gate") or {}
    boxes = {key: list(gate[key]) for key in ("workspace_lower_m", "workspace_upper_m", "keep_out_m") if gate.get(key)}
    table = {"table_z_m": gate["table_z_m"]} if "table_z_m" in gate else {}
    return {
        "robot_file": str(deployment.robot_file.resolve()),
        "rig_file": str(deployment.rig_file.resolve()),
        "deployment": deployment.name,
        "has_twin": "twin" in deployment.parameters,
        "autostart": True,
        **boxes,
        **table,
        **page,
    }


def console_alone(deployment: Deployment, page: Mapping[str, Any]) -> Deployment:
    """Return what has to be started beside a deployment to have its console."""
    spec = ProcessSpec(name=CONSOLE, nodes=(CONSOLE,))
    return replace(deployment, processes=(spec,), parameters={CONSOLE: console_parameters(deployment, page)})


def page_options(options: argparse.Namespace) -> dict[str, Any] | None:
    """Return where a verb with `--console`, `--host` and `--port` serves the page; None if it was not asked for.

    Raises:
        ConfigError: If the page needs a token and the one that is set is too short.
    """
    if not options.console:
        return None
    provide_token(CONSOLE_TOKEN, options.host)
    return {"page_host": options.host, "page_port": options.port, "has_view": True}


class ConsoleProcess:
    """Runs the console until the block ends. The environment must be prepared for ROS."""

    def __init__(
        self, deployment: Deployment, page: Mapping[str, Any], log_dir: Path, say: Callable[[str], None]
    ) -> None:
        """Take what it belongs to.

        Args:
            deployment: What runs, or will run.
            page: `page_host`, `page_port`, `has_view`. Port 0 takes a free one and keeps it when the console is
                started anew: pages that are open look for it there.
            log_dir: Where its log goes.
            say: Where sentences go.
        """
        port = page["page_port"] or _free_port(page["page_host"])
        self._alone = console_alone(deployment, {**page, "page_port": port})
        self._say = say
        self._supervisor = Supervisor(self._alone, log_dir / CONSOLE, os.environ)
        self._is_closing = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="console_watch", daemon=True)
        self.url = ""

    def __enter__(self) -> ConsoleProcess:
        """Start it and wait for its page.

        Raises:
            BringUpError: If it does not come.
        """
        with contextlib.ExitStack() as undo:
            undo.enter_context(self._supervisor)
            self.url = self._wait_for_page()
            undo.pop_all()
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closing.set()
        self._watcher.join()
        self._supervisor.stop()

    @property
    def address(self) -> str:
        """The page's address with its token, for the operator."""
        return with_token(self.url, os.environ.get(CONSOLE_TOKEN, ""))

    @property
    def pid(self) -> int:
        """The process that runs now."""
        return self._supervisor.pid(CONSOLE)

    def _wait_for_page(self) -> str:
        from vla3d_ros.ros.diagnostics import read_diagnostics  # needs rclpy

        (name,) = self._alone.node_names
        log = self._supervisor.log_file(CONSOLE)
        deadline = time.monotonic() + _READY_S
        problem = "it said nothing"
        while time.monotonic() < deadline:
            try:
                values = read_diagnostics(name, timeout_s=_ASK_S)
            except Vla3dError as error:
                values, problem = {}, str(error)
            if values.get("page"):
                return values["page"]
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            if fatal := [*self._supervisor.dead_processes(), *(line for line in lines if "refused" in line)]:
                problem = fatal[-1]
                break
        raise BringUpError(f"the console did not come up: {problem} (log: {log})")

    def _watch(self) -> None:
        while not self._is_closing.wait(_LOOK_S):
            for line in self._supervisor.newly_dead_processes():
                self._say(f"{line}; starting the console anew, the robot's graph goes on")
                self._supervisor.restart(CONSOLE)


def _free_port(host: str) -> int:
    """Return a port that nobody listens on now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host.strip("[]"), 0))
        return int(probe.getsockname()[1])
