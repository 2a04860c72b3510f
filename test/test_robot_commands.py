"""`vla3d robots` and `vla3d bench adapter` as a user runs them."""

import json
from pathlib import Path

import pytest

from vla3d_ros.cli import main

ROOT = Path(__file__).parents[1]


def test_robots_lists_every_robot_with_its_interface(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "240")
    assert main(["robots"]) == 0
    printed = capsys.readouterr().out
    for path in (ROOT / "config" / "robots").glob("*.yaml"):
        assert path.stem in printed
    for fragment in ("control/move_js", "xarm7_traj_controller", "7 + 1", "70 mm"):
        assert fragment in printed


def test_robots_new_drafts_a_file_and_says_what_is_missing(capsys, tmp_path):
    urdf = ROOT / "urdf" / "ur5e.urdf"
    assert main(["robots", "new", str(urdf), "--name", "mine", "--config", str(tmp_path / "config")]) == 0
    assert (tmp_path / "config" / "robots" / "mine.yaml").is_file()
    assert (tmp_path / "urdf" / "mine.urdf").read_bytes() == urdf.read_bytes()
    assert "q_home, acceleration, jerk" in capsys.readouterr().out


def test_robots_new_never_overwrites(capsys, tmp_path):
    arguments = ["robots", "new", str(ROOT / "urdf" / "ur5e.urdf"), "--name", "mine", "--config", str(tmp_path / "c")]
    assert main(arguments) == 0
    assert main(arguments) == 2
    assert "exist already" in capsys.readouterr().err.replace("\n", " ")


def test_bench_adapter_writes_what_it_prints(capsys, tmp_path):
    pytest.importorskip("pinocchio")
    target = tmp_path / "figures.json"
    assert (
        main(["bench", "adapter", "--robot", "piper", "--chunks", "10", "--targets", "2", "--json", str(target)]) == 0
    )
    figures = json.loads(target.read_text())
    assert figures["robot"] == "piper"
    assert figures["chunks"]["chunks"] == 10 and figures["chunks"]["limit_violations"] == 0
    assert figures["poses"][0]["solver"] == "this package"
    assert "10 of 10" in capsys.readouterr().out
