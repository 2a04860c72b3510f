"""Running what is missing: the same in any number of processes, and after `kill -9`."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.evidence.store import CellStore, read_cells
from vla3d_ros.evaluation.evidence.sweep import run_missing

CELLS = {("plain", "nominal"): {"seed": 1}, ("better", "nominal"): {"seed": 1}}
SCRIPT = textwrap.dedent("""
    import os, sys, time
    from pathlib import Path
    from vla3d_ros.evaluation.evidence.store import CellStore
    from vla3d_ros.evaluation.evidence.sweep import run_missing
    from vla3d_ros.evaluation.evidence.trial import CellTrial

    def work(setup, trial):
        (Path(sys.argv[1]) / "pids" / str(os.getpid())).touch()
        time.sleep(float(sys.argv[2]))
        return CellTrial(trial=trial, is_success=trial % 3 > 0, failure="" if trial % 3 else "safety stop", reason="",
                         instruction=setup, sim_s=float(trial), verdicts={})

    if __name__ == "__main__":
        folder = Path(sys.argv[1])
        (folder / "pids").mkdir(parents=True, exist_ok=True)
        cells = {("plain", "nominal"): {"seed": 1}, ("better", "nominal"): {"seed": 1}}
        setups = {cell: cell[0] for cell in cells}
        with CellStore(folder, cells) as store:
            run_missing(store, setups, work, trials=int(sys.argv[3]), processes=2)
""")


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def wait_until(condition, timeout_s=60.0):
    end_s = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end_s:
        time.sleep(0.05)
    assert condition()


def done(folder):
    return {record.cell: record.trials for record in read_cells(folder)}


def test_only_what_is_missing_is_run_trial_by_trial_over_the_cells(tmp_path, trial):
    ran = []

    def work(setup, number):
        ran.append((setup, number))
        return trial(number, True)

    setups = {cell: cell[0] for cell in CELLS}
    with CellStore(tmp_path, CELLS) as store:
        run_missing(store, setups, work, trials=1)
        run_missing(store, setups, work, trials=2)
    assert ran == [("plain", 0), ("better", 0), ("plain", 1), ("better", 1)]


def test_nothing_to_run_is_no_batch(tmp_path):
    with CellStore(tmp_path, CELLS) as store, pytest.raises(ConfigError, match="0 trials"):
        run_missing(store, {}, lambda setup, number: None, trials=0)


@pytest.mark.slow
def test_a_killed_sweep_keeps_what_had_ended_leaves_no_process_behind_and_ends_as_if_uninterrupted(tmp_path):
    script = tmp_path / "sweep.py"
    script.write_text(SCRIPT)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen([sys.executable, script, killed, "0.3", "200"])
    try:
        wait_until(lambda: sum(map(len, done(killed).values())) >= 4)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = done(killed)
    workers = [int(file.name) for file in (killed / "pids").iterdir()]
    wait_until(lambda: not any(map(is_running, workers)), 20.0)
    assert done(killed) == kept
    for folder in (killed, whole):
        subprocess.run([sys.executable, script, folder, "0", "40"], check=True, timeout=120)
    assert done(killed) == done(whole)
    assert all(len(trials) == 40 for trials in done(whole).values())
