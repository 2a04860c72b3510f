"""`vla3d console --attach` beside a graph that runs already: it comes, is one of a kind, and goes without a trace."""

import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")
pytest.importorskip("websockets.sync.client", reason="websockets is not installed")

from waiting import wait_until
from websockets.sync.client import connect

pytestmark = [pytest.mark.ros, pytest.mark.slow]

WALL_LIMIT_S = 120.0


class Attached:
    """The command in a process of its own, and what it prints."""

    def __init__(self, deployment: str, log: Path, *more: str) -> None:
        self._log = log
        command = [sys.executable, "-m", "vla3d_ros.cli", "console", deployment, "--attach", "--port", "0", "--no-view"]
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [*command, "--out", str(log.parent / "run"), *more], stdout=out, stderr=out, stdin=subprocess.DEVNULL
            )

    @property
    def said(self) -> str:
        return " ".join(self._log.read_text().split())

    def wait_for_page(self) -> str:
        def found() -> re.Match | None:
            assert self.process.poll() is None, self.said
            return re.search(r"page on (http://127\.0\.0\.1:\d+/) ", self.said)

        wait_until(lambda: found() is not None, "the page's address", limit_s=WALL_LIMIT_S, told=lambda: self.said)
        return found()[1]

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=WALL_LIMIT_S)


@pytest.fixture
def attached(graph, tmp_path) -> Iterator[Attached]:
    attached = Attached(graph.deployment.name, tmp_path / "attached.log")
    yield attached
    if attached.process.poll() is None:
        attached.process.kill()
        attached.process.wait()


def consoles(graph) -> list[str]:
    return [name for name, _ in graph.ear.node.get_node_names_and_namespaces() if name == "console"]


def test_what_is_not_there_yet_is_named_and_the_page_says_that_nothing_is_heard(tmp_path):
    """First, while no graph needs the processor."""
    attached = Attached("ur5e_tabletop_twin", tmp_path / "attached.log")
    try:
        url = attached.wait_for_page()
        assert "not heard yet" in attached.said and "/ur5e/adapter" in attached.said
        with connect(f"{url.replace('http', 'ws')}ws") as talk:
            time.sleep(0.3)
            wait_until(
                lambda: '"mode": "absent"' in talk.recv(timeout=WALL_LIMIT_S), "its absence", limit_s=WALL_LIMIT_S
            )
    finally:
        assert attached.end() == 0


def test_the_page_of_a_running_graph_stops_it_is_refused_twice_and_leaves_the_graph_running(graph, attached, tmp_path):
    url = attached.wait_for_page()
    assert "hardware button" in attached.said and "not heard yet" not in attached.said
    second = Attached(graph.deployment.name, tmp_path / "second.log")
    with urllib.request.urlopen(url) as answer:
        assert answer.status == 200
    with connect(f"{url.replace('http', 'ws')}ws") as talk, connect(f"{url.replace('http', 'ws')}stop") as line:
        wait_until(
            lambda: '"mode": "disarmed"' in talk.recv(timeout=WALL_LIMIT_S), "the arm's state", limit_s=WALL_LIMIT_S
        )
        line.send("stop")
        wait_until(lambda: '"mode": "stopped"' in talk.recv(timeout=WALL_LIMIT_S), "the stop", limit_s=WALL_LIMIT_S)
    assert second.process.wait(timeout=WALL_LIMIT_S) != 0
    assert "/fr3/console' is already running" in second.said
    assert attached.end() == 0
    assert not graph.supervisor.newly_dead_processes()
    wait_until(lambda: not consoles(graph), "the console to leave the graph", limit_s=WALL_LIMIT_S)
    graph.runner.reset_stop()  # the adapter answers as before
