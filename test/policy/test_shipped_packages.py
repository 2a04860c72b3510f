"""What ships passes its own check, says that it is untrained, and fits the deployment its settings are for."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("onnxruntime", reason="golden cases run on ONNX Runtime")

from vla3d_ros.cli import main
from vla3d_ros.commands.policy_choice import policy_overrides, require_policy_fits
from vla3d_ros.deployment import load_deployment
from vla3d_ros.errors import ConfigError
from vla3d_ros.policy.package import list_packages, load_package
from vla3d_ros.resources import config_dir, share_dir

MODELS = share_dir() / "models"
TINY = ["gear_tiny", "think3d_tiny", "vipa_tiny", "vla3d_tiny"]
LARGEST_BYTES = 5_000_000


def test_there_is_one_package_per_route():
    assert set(TINY) <= set(list_packages(MODELS))


def test_every_package_passes_the_check(tmp_path, capsys):
    assert main(["policy", "check", "--threads", "1", "--json", str(tmp_path / "check.json")]) == 0
    assert set(json.loads((tmp_path / "check.json").read_text())) == set(list_packages(MODELS))
    assert "packages passed" in capsys.readouterr().out


@pytest.mark.parametrize("name", TINY)
def test_a_tiny_package_is_small_and_says_that_it_is_untrained(name):
    package = load_package(MODELS / name)
    assert not package.manifest.is_trained
    assert "untrained: for timing and tests" in package.manifest.title
    assert "Untrained: for timing and tests" in (package.folder / "README.md").read_text()
    assert sum(entry.size for entry in package.manifest.files) <= LARGEST_BYTES
    assert package.manifest.route == name.removesuffix("_tiny")


@pytest.mark.parametrize("name", TINY)
def test_its_settings_fit_the_twin(name):
    overrides = policy_overrides(name, config_dir())
    assert overrides["policy"]["backend"] == "package"
    require_policy_fits(load_deployment("fr3_tabletop_twin", config_dir(), overrides))


def test_settings_for_another_robot_are_refused_before_anything_starts():
    deployment = load_deployment("ur5e_tabletop_twin", config_dir(), policy_overrides("vla3d_tiny", config_dir()))
    with pytest.raises(ConfigError, match="'arms' maps 'left' to 'fr3'"):
        require_policy_fits(deployment)


def test_the_deployments_own_policy_is_kept_when_asked_for():
    assert policy_overrides(None, config_dir()) == policy_overrides("scripted", config_dir()) == {}
    with pytest.raises(ConfigError, match="no policy settings"):
        policy_overrides("oracle", config_dir())


def test_an_untrained_policy_does_not_move_metal():
    overrides = policy_overrides("vla3d_tiny", config_dir())
    deployment = load_deployment("fr3_tabletop_twin", config_dir(), overrides)
    parameters = {name: given for name, given in deployment.parameters.items() if name != "twin"}
    from dataclasses import replace

    with pytest.raises(ConfigError, match="untrained; it may move a twin"):
        require_policy_fits(replace(deployment, parameters=parameters))
    parameters["adapter"] = {**parameters["adapter"], "dry_run": True}
    require_policy_fits(replace(deployment, parameters=parameters))


def test_a_bench_counts_every_stage(tmp_path):
    out = tmp_path / "bench.json"
    command = ["policy", "bench", "--package", "think3d_tiny", "--runs", "3", "--no-torch", "--json", str(out)]
    assert main(command) == 0
    report = json.loads(out.read_text())
    stages = report["engines"][0]["stages"]
    assert set(stages) == {"preprocess", "context", "flow", "decode", "end to end"}
    parts = sum(stages[stage]["mean_ms"] for stage in ("preprocess", "context", "flow", "decode"))
    assert parts <= stages["end to end"]["mean_ms"]
    assert report["wanted_hz"] == 30.0 and report["engines"][0]["runs"] == 3
