"""`vla3d` as a user types it: interrupted at any moment, refused nodes, dry run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from waiting import wait_until as patiently

from vla3d_ros.resources import config_dir

pytestmark = [pytest.mark.ros, pytest.mark.slow]

WALL_LIMIT_S = 90.0
INTERRUPTED = 130


def start(arguments: list[str], out: Path) -> subprocess.Popen:
    log = (out.parent / f"{out.name}.log").open("wb")
    command = [sys.executable, "-m", "vla3d_ros.cli", *arguments, "--out", str(out)]
    return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)


def output(out: Path) -> str:
    return (out.parent / f"{out.name}.log").read_text()


def wait_until(is_so, what: str, process: subprocess.Popen) -> None:
    def look() -> None:
        assert process.poll() is None, f"ended with {process.returncode} while waiting for {what}"
        time.sleep(0.1)

    patiently(is_so, what, limit_s=WALL_LIMIT_S, meanwhile=look)


def processes_of(out: Path) -> list[str]:
    """Return the processes that were started with this run's parameter file."""
    mark = str(out).encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if mark in command and process.name != str(os.getpid()):
            found.append(command.replace(b"\0", b" ").decode())
    return found


@pytest.mark.parametrize("moment", ["starting", "recording"])
def test_ctrl_c_leaves_no_process_and_no_half_written_bag(tmp_path, moment):
    out = tmp_path / moment
    demo = start(["demo", "--trials", "1"], out)
    if moment == "starting":
        wait_until(lambda: bool(processes_of(out)) and (out / "logs" / "world.log").exists(), "the processes", demo)
    else:
        wait_until(lambda: bool(list(out.glob("bags/*.partial"))), "the recording", demo)
        time.sleep(2.0)
    demo.send_signal(signal.SIGINT)
    assert demo.wait(timeout=WALL_LIMIT_S) == INTERRUPTED, output(out)
    assert not processes_of(out)
    assert not list(out.glob("bags/*.partial"))
    assert "everything that was started has ended" in output(out)


def test_a_killed_parent_takes_its_processes_along(tmp_path):
    out = tmp_path / "killed"
    demo = start(["demo", "--trials", "1"], out)
    wait_until(lambda: bool(list(out.glob("bags/*.partial"))), "the recording", demo)
    demo.kill()
    demo.wait()
    patiently(lambda: not processes_of(out), "its processes to end", limit_s=WALL_LIMIT_S)
    assert not list(out.glob("bags/*.partial"))


def test_bring_up_names_the_node_that_refused_and_why(tmp_path):
    content = yaml.safe_load((config_dir() / "deployments" / "fr3_tabletop_twin.yaml").read_text())
    content["nodes"]["policy"]["backend_config"] = "scripted_kitchen"
    deployment = tmp_path / "broken.yaml"
    deployment.write_text(yaml.safe_dump(content))
    out = tmp_path / "refused"
    up = start(["up", str(deployment)], out)
    assert up.wait(timeout=WALL_LIMIT_S) == 2, output(out)
    text = " ".join(output(out).split())
    assert "node '/fr3/policy': configure refused" in text
    assert "scripted_kitchen" in text and "scripted_tabletop" in text
    assert not processes_of(out)
