"""`vla3d evaluate` in the live twin, killed in the middle and resumed: the same plan, no trial lost or doubled."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from waiting import wait_until as patiently

from vla3d_ros.evaluation.study_run import read_run
from vla3d_ros.resources import config_dir

pytestmark = [pytest.mark.ros, pytest.mark.slow]

WALL_LIMIT_S = 420.0


def start(protocol: Path, out: Path, *more: str) -> subprocess.Popen:
    log = (out.parent / f"{out.name}.log").open("ab")
    command = [sys.executable, "-m", "vla3d_ros.cli", "evaluate", str(protocol), "--policies", "scripted,slow"]
    arguments = [*command, "--twin", "--seed", "5", "--out", str(out), *more]
    return subprocess.Popen(arguments, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)


def events(out: Path) -> list[dict]:
    journal = out / "journal.jsonl"
    return [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []


def processes_of(out: Path) -> list[str]:
    """Return the processes that were started with this run's parameter file."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if str(out).encode() in command and process.name != str(os.getpid()):
            found.append(command.replace(b"\0", b" ").decode())
    return found


def wait_until(is_so, what: str) -> None:
    patiently(is_so, what, limit_s=WALL_LIMIT_S)


def test_a_live_run_killed_in_its_second_trial_is_resumed_there(tmp_path):
    protocol = tmp_path / "two_trials.yaml"
    text = (config_dir() / "trials" / "tabletop_twin_smoke.yaml").read_text()
    text = text.replace("names: [red, yellow]", "names: [red]").replace("timeout_s: 40.0", "timeout_s: 6.0")
    protocol.write_text(text.replace("  - {category: cold colours, names: [green, blue]}\n", ""))
    out = tmp_path / "run"
    first = start(protocol, out)
    wait_until(
        lambda: first.poll() is not None or [e["event"] for e in events(out)] == ["begun", "start", "end", "start"],
        "the second trial",
    )
    wait_until(lambda: first.poll() is not None or list(out.glob("bags/*.partial")), "its recording")
    assert first.poll() is None, (tmp_path / "run.log").read_text()
    plan = (out / "plan.json").read_bytes()
    first.send_signal(signal.SIGKILL)
    first.wait()
    written = (out / "journal.jsonl").read_bytes()
    wait_until(lambda: not processes_of(out), "the processes to end with their parent")

    second = start(protocol, out, "--resume")
    assert second.wait(timeout=WALL_LIMIT_S) == 0, (tmp_path / "run.log").read_text()
    assert (out / "plan.json").read_bytes() == plan
    assert (out / "journal.jsonl").read_bytes().startswith(written)
    data = read_run(out)
    assert Counter(record.trial for record in data.records if record.is_valid) == {1: 1, 2: 1}
    assert [(event["trial"], event["attempt"]) for event in data.interrupted] == [(2, 1)]
    assert {record.policy for record in data.records} == {"A", "B"}
    bags = [out / record.bag for record in data.records]
    assert all((bag / "metadata.yaml").exists() for bag in bags) and len(set(bags)) == 2
    page = (out / "report.html").read_text()
    assert "scripted" in page and "slow" in page and "1 interrupted" in page
    results = json.loads((out / "results.json").read_text())
    assert results["attempts"] == {"planned": 2, "valid": 2, "invalid": 0, "interrupted": 1}
    assert set(results["policies"]) == {"scripted", "slow"}
