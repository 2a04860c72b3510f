"""`vla3d train` as a user runs it: the shipped smoke recipe on demonstrations made for it."""

import importlib.util
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from vla3d_ros.cli import main

pytest.importorskip("torch")
SMOKE = "vla3d_tabletop_smoke"


def vla3d(*words):
    return [sys.executable, "-m", "vla3d_ros.cli", *map(str, words)]


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory):
    if importlib.util.find_spec("mujoco") is None:
        pytest.skip("demonstrations are made in the twin, which needs mujoco")
    folder = tmp_path_factory.mktemp("demonstrations")
    subprocess.run(vla3d("demonstrations", "make", "demonstrations_smoke", "--out", folder), check=True, timeout=900)
    return folder


def lines(run, kind):
    entries = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    return [entry for entry in entries if entry["kind"] == kind]


@pytest.mark.slow
def test_the_smoke_recipe_lowers_its_loss_and_killed_and_resumed_ships_the_same_package(demonstrations, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train = ("train", SMOKE, "--data", demonstrations)
    subprocess.run(vla3d(*train, "--out", whole), check=True, timeout=1800)
    for stage, name in (("instances", "loss"), ("completion", "self_supervision")):
        values = [entry["figures"][name] for entry in lines(whole, "training") if entry["stage"] == stage]
        assert np.mean(values[-5:]) < 0.6 * np.mean(values[:5])
    off_mm = [entry["figures"]["position_mm"] for entry in lines(whole, "validation")]
    assert off_mm[-1] < 0.95 * off_mm[0]

    process = subprocess.Popen(vla3d(*train, "--out", killed))
    try:
        deadline = time.monotonic() + 900
        while len(list(killed.glob("checkpoints/step_*"))) < 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait(timeout=60)
    assert not (killed / "package").exists()
    subprocess.run(vla3d(*train, "--resume", killed), check=True, timeout=1800)
    assert lines(killed, "training") == lines(whole, "training")
    weights = [run / "package" / SMOKE / "weights.safetensors" for run in (whole, killed)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert main(["policy", "check", str(whole / "package" / SMOKE)]) == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["no_such_recipe"], "unknown recipe"),
        ([SMOKE, "--variant", "everything"], "variant"),
        ([SMOKE, "--data", "nowhere"], "no demonstrations in nowhere"),
        ([SMOKE, "--resume", "nowhere"], "no training run"),
    ],
)
def test_what_can_not_be_trained_is_said_in_one_paragraph(words, complaint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *words]) == 2
    assert complaint in " ".join(capsys.readouterr().err.split())
