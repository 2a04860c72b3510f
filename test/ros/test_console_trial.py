"""A protocol's trial at the page: set up, run and judged in a real browser, with the console killed in the middle."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")
pytest.importorskip("viser", reason="viser is not installed: pip install vla3d_ros[console]")
pytest.importorskip("selenium", reason="selenium is not installed: pip install vla3d_ros[browser]")

from console_page import ENTER, OperatorPage, free_port
from waiting import wait_until

pytestmark = [pytest.mark.ros, pytest.mark.slow]

WALL_LIMIT_S, END_LIMIT_S = 240.0, 60.0
PROTOCOL = """
title: One trial for a person to judge
description: a cube that nobody has put there
source: a test
world: real
policies: {scripted: scripted_tabletop}
design:
  {order: interleaved, trials_per_cell: 1, blind: true, most_attempts: 2, comparison: {method: fixed, alpha: 0.05}}
tasks:
  - name: pick
    instruction: pick up the red cube and place it on the cyan pad
    success: the cube lies on the pad
    timeout_s: 300.0
    randomisation:
      {region_x_m: [0.35, 0.65], region_y_m: [-0.3, 0.1], yaw_deg: [-180, 180], least_distance_m: 0.12,
       items: [cube, pad]}
    sub_tasks: [{name: lift, text: the cube is lifted}, {name: place, text: the cube lies on the pad}]
settings: [{name: table, text: a table}]
checklist: [the cameras have not moved]
table: {rows: [policy], columns: [task], cell: sub_whole}
"""


class Session:
    """`vla3d evaluate ... --console` in a process of its own, and its journal."""

    def __init__(self, folder: Path) -> None:
        (folder / "one_trial.yaml").write_text(PROTOCOL)
        self.out, self._log, self.port = folder / "run", folder / "run.log", free_port()
        what = [
            "evaluate",
            str(folder / "one_trial.yaml"),
            "--policies",
            "scripted",
            "--deployment",
            "fr3_tabletop_twin",
        ]
        where = ["--console", "--port", str(self.port), "--out", str(self.out)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vla3d_ros.cli", *what, *where], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def wait(self, is_so, what: str) -> None:
        def alive() -> bool:
            assert self.process.poll() is None, self._log.read_text()
            return is_so()

        wait_until(alive, what, limit_s=WALL_LIMIT_S, told=lambda: self._log.read_text()[-500:])

    def wait_for_page(self) -> str:
        self.wait(lambda: f":{self.port}" in "".join(self._log.read_text().split()), "the page's address")
        return f"http://127.0.0.1:{self.port}/"

    def journal(self) -> list[dict]:
        path = self.out / "journal.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def console_pid(self) -> int:
        (pid,) = self._pids(self.out / "logs" / "console")
        return pid

    def end(self) -> None:
        """Interrupt it; if that does not help, leave nothing behind for the tests that follow, and fail."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout=END_LIMIT_S)
        except subprocess.TimeoutExpired:
            for pid in [self.process.pid, *self._pids(self.out)]:
                os.kill(pid, signal.SIGKILL)
            self.process.wait()
            raise

    @staticmethod
    def _pids(folder: Path) -> list[int]:
        """Return the processes that were started with a file in a folder."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if f"{folder}/".encode() in (process / "cmdline").read_bytes():
                    found.append(int(process.name))
            except OSError:
                continue
        return found


@pytest.fixture
def session(tmp_path) -> Iterator[Session]:
    session = Session(tmp_path)
    yield session
    session.end()


def test_a_trial_is_set_up_run_and_judged_at_the_page_though_the_console_is_killed_meanwhile(session, chromium):
    page = OperatorPage(chromium, session.wait_for_page())
    page.wait(lambda: page.has("#ready"), "the trial's scene")
    assert "1 cube" in page.find("#trial-body .picture svg").text
    assert page.text("#trial-chip") == "policy A" and "scripted" not in page.find("main").text
    page.click("#trial-body .checks input")
    page.keys("r")
    page.wait(lambda: page.has('#trial-body [data-key="E"]'), "the running trial")
    page.wait(lambda: page.mode == "armed", "the arm to be armed for it")

    killed = session.console_pid()
    os.kill(killed, signal.SIGKILL)
    page.wait(lambda: page.mode == "offline", "the page to notice")
    page.wait(lambda: page.mode == "armed", "the same trial, still armed, in the console that was started anew")
    assert session.console_pid() != killed
    assert [event["event"] for event in session.journal()] == ["begun", "start"]

    page.wait(lambda: page.has('#trial-body [data-key="E"]'), "the running trial again")
    page.keys("e")
    page.wait(lambda: page.has("#save"), "the outcome's buttons")
    page.keys("f")
    page.keys("2")
    page.find("#trial-body textarea").send_keys("there was no cube")
    page.leave_fields()
    page.keys(ENTER)
    assert session.process.wait(timeout=WALL_LIMIT_S) == 0
    (end,) = [event for event in session.journal() if event["event"] == "end"]
    assert "grasp" in json.dumps(end) and "there was no cube" in json.dumps(end)
    assert (session.out / "report.html").exists()
