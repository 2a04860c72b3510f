"""Which policy the demo runs: the one asked for, else the shipped one where it is and fits, else the deployment's."""

import shutil

import pytest
import yaml

from vla3d_ros.commands import policy_check, policy_choice
from vla3d_ros.commands.policy_choice import SHIPPED, demo_policy
from vla3d_ros.errors import ConfigError, PackageError
from vla3d_ros.resources import config_dir, share_dir

FR3, UR5E = "fr3_tabletop_twin", "ur5e_tabletop_twin"


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A share directory whose models have a package of that name: an untrained one under another name and settings."""
    pytest.importorskip("onnx")
    tiny, folder = share_dir() / "models" / "vla3d_tiny", tmp_path / "models" / SHIPPED
    shutil.copytree(tiny, folder)
    manifest = yaml.safe_load((folder / "manifest.yaml").read_text())
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest | {"name": SHIPPED}, sort_keys=False))
    shutil.copytree(config_dir(), tmp_path / "config")
    shutil.copytree(share_dir() / "urdf", tmp_path / "urdf")
    settings = yaml.safe_load((config_dir() / "policies" / "vla3d_tiny.yaml").read_text())
    file = tmp_path / "config" / "policies" / f"{SHIPPED}.yaml"
    file.write_text(yaml.safe_dump(settings | {"package": SHIPPED}))
    for module in (policy_check, policy_choice):
        monkeypatch.setattr(module, "share_dir", lambda: tmp_path)
    return tmp_path


def test_the_shipped_policy_runs_where_it_fits_and_the_deployments_own_elsewhere(shipped):
    assert demo_policy(None, FR3, shipped / "config") == SHIPPED
    assert demo_policy(None, UR5E, shipped / "config") == "scripted"


def test_who_asks_for_a_policy_gets_it(shipped):
    assert demo_policy("scripted", FR3, shipped / "config") == "scripted"
    assert demo_policy("vla3d_tiny", FR3, shipped / "config") == "vla3d_tiny"


def test_a_shipped_package_that_was_damaged_is_not_passed_over(shipped):
    (shipped / "models" / SHIPPED / "step.onnx").write_bytes(b"torn")
    with pytest.raises(PackageError):
        demo_policy(None, FR3, shipped / "config")


def test_an_unknown_deployment_is_refused_though_the_policy_could_not_fit_it(shipped):
    with pytest.raises(ConfigError, match="unknown deployment"):
        demo_policy(None, "nowhere", shipped / "config")


def test_without_the_package_the_deployments_own_policy_runs(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    monkeypatch.setattr(policy_choice, "share_dir", lambda: tmp_path)
    assert demo_policy(None, FR3, config_dir()) == "scripted"
