"""The datasets in lerobot itself, in a Python of its own: it brings gigabytes along, and pins of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'vla3d_ros[lerobot]'")
pytest.importorskip("av", reason="PyAV is not installed: pip install 'vla3d_ros[lerobot]'")

from dataset_reading import Dataset

from vla3d_ros.cli import main

PYTHON = "VLA3D_LEROBOT_PYTHON"
HEAD = "observation.images.head"
SCRIPT = Path(__file__).with_name("load_with_lerobot.py")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PYTHON not in os.environ, reason=f"{PYTHON} does not name a Python that has lerobot >= 0.4"),
]


def lerobot(*arguments: str) -> str:
    environ = os.environ | {"HF_HUB_OFFLINE": "1"}
    environ.pop("PYTHONPATH", None)
    command = [os.environ[PYTHON], *arguments]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=540, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("version", ["v3.0", "v2.1"])
def test_lerobot_reads_the_same_numbers_pictures_and_tasks(tmp_path, recorded, version):
    for number in range(2):
        recorded(f"episode_{number}", seconds=0.7, instruction=f"task {number}")
    out = tmp_path / "local" / "check"
    assert main(["export", "lerobot", str(tmp_path / "bags"), "--out", str(out), "--format", version]) == 0
    dataset = Dataset(out)
    shown = np.concatenate([dataset.video(HEAD, episode) for episode in range(2)])
    if version == "v2.1":
        converter = "lerobot.datasets.v30.convert_dataset_v21_to_v30"
        lerobot("-m", converter, "--repo-id=local/check", f"--root={tmp_path}", "--push-to-hub=false")
    seen = json.loads(lerobot(str(SCRIPT), str(out), HEAD).splitlines()[-1])
    assert seen["codebase_version"] == "v3.0"
    assert (seen["episodes"], seen["frames"]) == (2, dataset.info["total_frames"])
    np.testing.assert_allclose(seen["state"], dataset.column("observation.state"), rtol=1e-6)
    np.testing.assert_allclose(seen["action"], dataset.column("action"), rtol=1e-6)
    np.testing.assert_allclose(seen["timestamps"], dataset.column("timestamp"), rtol=1e-6)
    np.testing.assert_allclose(seen["action_mean"], dataset.column("action").mean(axis=0), atol=1e-6)
    assert seen["tasks"] == [dataset.tasks[index] for index in dataset.column("task_index")]
    np.testing.assert_allclose(seen["mean_colours"], shown.mean(axis=(1, 2)) / 255.0, atol=0.02)
    assert seen["shapes"]["camera.wrist.T_base_camera"] == [16]
