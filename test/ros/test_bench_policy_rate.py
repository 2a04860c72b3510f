"""`vla3d bench policy-rate` on the twin graph: what it says must hold together, however slow the machine is."""

import json
from argparse import Namespace

import pytest
import yaml
from rich.console import Console

pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")
pytest.importorskip("onnxruntime", reason="no ONNX Runtime: pip install onnxruntime")

from vla3d_ros.commands.bench_policy_rate import bench_policy_rate
from vla3d_ros.commands.policy_folder import package_settings
from vla3d_ros.deployment import load_deployment
from vla3d_ros.errors import ConfigError
from vla3d_ros.policy.package import load_package
from vla3d_ros.resources import config_dir, share_dir

SECONDS = 2.0


@pytest.fixture
def deployment_with_depth(tmp_path) -> str:
    """The FR3 in the twin with depth from the head camera; returns the deployment's path."""
    rig = yaml.safe_load((config_dir() / "cameras" / "tabletop_twin.yaml").read_text())
    rig["cameras"]["head"]["settings"] = {"depth": True}
    (tmp_path / "deep_rig.yaml").write_text(yaml.safe_dump(rig))
    content = yaml.safe_load((config_dir() / "deployments" / "fr3_tabletop_twin.yaml").read_text())
    content["rig"] = str(tmp_path / "deep_rig")
    path = tmp_path / "deep.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return str(path)


@pytest.mark.ros
@pytest.mark.slow
def test_figures_agree_with_one_another_and_depth_and_prompts_reach_the_policy(tmp_path, deployment_with_depth):
    figures = {}
    for policy, deployment in (("vla3d_tiny", deployment_with_depth), (str(share_dir() / "models/gear_tiny"), None)):
        out = tmp_path / policy.rpartition("/")[2]
        options = Namespace(
            policy=policy, deployment=deployment, seconds=SECONDS, free_running=False, out=out, json=tmp_path / "f.json"
        )
        code = bench_policy_rate(options, Console(quiet=True))
        figures[out.name] = found = json.loads(options.json.read_text())
        assert code == bool(found["problems"])
        assert found["ros_s"] >= SECONDS and found["mode"] == "paced" and found["adapter"] == "dry_run"
        assert found["hz_ros"] == pytest.approx((found["chunks"] - 1) / found["ros_s"])
        assert found["hz_wall"] == pytest.approx(found["hz_ros"] * found["real_time_factor"])
        assert 0 < found["hz_ros"] < 31
        assert found["latency_p50_ms"] <= found["latency_p99_ms"]
        assert found["compute_p50_ms"] <= found["compute_p99_ms"]
        periods = round(found["ros_s"] * 30)
        assert found["chunks"] - 1 + found["skipped_periods"] == pytest.approx(periods, abs=1)
        assert set(found["cores_by_process"]) == {"world", "adapter", "policy", "recorder"}
        assert all(share > 0 for share in found["cores_by_process"].values())
        assert set(found["counted"]) >= {"replaced_observations", "overtaken_sets", "lost_sets"}
    assert (figures["vla3d_tiny"]["views"], figures["vla3d_tiny"]["depth_views"]) == (2, 1)
    assert (figures["gear_tiny"]["views"], figures["gear_tiny"]["depth_views"]) == (3, 0)
    assert figures["vla3d_tiny"]["prompt"] == "" and figures["gear_tiny"]["prompt"] != ""


def test_a_package_folder_gets_cameras_by_name_and_an_untrained_one_the_rest_in_order():
    folder = share_dir() / "models" / "vla3d_tiny"
    manifest, plain = load_package(folder).manifest, load_deployment("fr3_tabletop_twin", config_dir())
    settings = package_settings(manifest, folder, plain)
    assert settings["cameras"] == {"head": "head", "wrist_left": "wrist", "wrist_right": "side"}
    assert settings["arms"] == {"left": "fr3"} and settings["embodiment"] == "fr3"
    settings = package_settings(manifest, folder, load_deployment("dual_piper_tabletop_twin", config_dir()))
    assert list(settings["arms"]) == ["left", "right"] and settings["embodiment"] == "dual_piper"


def test_views_of_a_trained_package_are_never_guessed():
    from dataclasses import replace

    folder = share_dir() / "models" / "vla3d_tiny"
    trained = replace(load_package(folder).manifest, is_trained=True)
    with pytest.raises(ConfigError, match=r"trained with views \['wrist_left', 'wrist_right'\]"):
        package_settings(trained, folder, load_deployment("fr3_tabletop_twin", config_dir()))
