"""A demonstration comes back from the twin through chunks, adapter and safety."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from vla3d_ros.execution import ExecutionConfig

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("mujoco is not installed: pip install .[twin]", allow_module_level=True)

from vla3d_ros.camera.rig import load_rig
from vla3d_ros.replay.demonstration import load_demonstration
from vla3d_ros.replay.retarget import RetargetSetup, needed_time_scale, retarget
from vla3d_ros.twin.scene import load_scene

CONFIG = Path(__file__).parents[2] / "config"
EXECUTION = ExecutionConfig.from_mapping(
    {
        "gate": {
            "workspace_lower_m": [0.15, -0.45, 0.0],
            "workspace_upper_m": [0.8, 0.45, 0.9],
            "table_z_m": 0.0,
            "ee_speed_m_s": 1.0,
            "ee_turn_rad_s": 2.5,
        }
    }
)


@pytest.fixture
def drive(embodiment, tmp_path):
    setup = RetargetSetup(
        embodiment=embodiment,
        rig=load_rig(CONFIG / "cameras" / "tabletop_twin.yaml"),
        scene=load_scene(CONFIG / "scenes" / "tabletop.yaml"),
        execution=EXECUTION,
    )

    def run(path):
        report = retarget([path], setup, tmp_path / "out")
        return report.results[0], report

    return run


def test_the_motion_comes_back_and_the_report_says_so(tmp_path, saved, made_up_log, drive):
    result, report = drive(saved(made_up_log()))
    assert result.rms_mm < 1.0 and result.rms_deg < 0.1
    assert result.is_within_goal and result.stop == "" and set(result.verdicts) == {"allow"}
    written = json.loads((tmp_path / "out" / "retarget.json").read_text())
    assert written == json.loads(json.dumps(report.to_json()))
    assert (tmp_path / "out" / "log.png").stat().st_size > 10_000


def test_a_motion_above_the_limits_is_driven_slower_and_still_comes_back(saved, made_up_log, drive, arm):
    path = saved(made_up_log(duration_s=1.0, speed=9.0))
    scale = needed_time_scale(load_demonstration(path, arm), arm, EXECUTION)
    result, _ = drive(path)
    assert scale > 1.2 and result.time_scale == scale
    assert result.track.times_s[-1] == pytest.approx(scale * 1.0, abs=0.02)
    assert result.is_within_goal


def test_a_demonstration_that_leaves_the_workspace_is_stopped_and_reported(saved, made_up_log, drive, arm):
    rows = made_up_log()
    rows[:, 1] += np.linspace(0.0, 1.5, len(rows))
    rows[:, 1 + len(arm.joint_names)] += 0.75
    result, report = drive(saved(rows))
    assert "y = " in result.stop or "x = " in result.stop
    assert not report.is_within_goal
