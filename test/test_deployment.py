"""Bad deployments are refused with the thing, the value, the alternatives and the remedy."""

from pathlib import Path

import pytest
import yaml

from vla3d_ros.deployment import load_deployment
from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.protocol import load_protocol

CONFIG = Path(__file__).parents[1] / "config"
SHIPPED = sorted(path.stem for path in (CONFIG / "deployments").glob("*.yaml"))


def written(tmp_path: Path, **changes) -> str:
    content = yaml.safe_load((CONFIG / "deployments" / "fr3_tabletop_twin.yaml").read_text())
    for key, value in changes.items():
        if value is None:
            content.pop(key)
        else:
            content[key] = value
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_deployment_loads(name):
    deployment = load_deployment(name, CONFIG)
    assert deployment.node_names
    assert yaml.safe_load(deployment.parameter_file_text())


def test_an_unknown_deployment_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"unknown deployment 'fr4': expected one of .*fr3_tabletop_twin"):
        load_deployment("fr4", CONFIG)


def test_unknown_and_missing_keys_are_all_listed(tmp_path):
    with pytest.raises(ConfigError) as refused:
        load_deployment(written(tmp_path, robto="fr3", robot=None, rig=None), CONFIG)
    text = str(refused.value)
    assert "unknown key 'robto'" in text and "missing key 'robot'" in text and "missing key 'rig'" in text


def test_a_node_in_two_processes_or_in_none_is_refused(tmp_path):
    processes = [{"name": "a", "nodes": ["twin", "camera"]}, {"name": "b", "nodes": ["camera"]}]
    with pytest.raises(ConfigError) as refused:
        load_deployment(written(tmp_path, processes=processes), CONFIG)
    assert "node 'camera' is in two processes" in str(refused.value)
    assert "node 'policy' is in no process" in str(refused.value)


def test_an_unknown_robot_or_rig_names_the_known_ones(tmp_path):
    with pytest.raises(ConfigError, match=r"fr4\.yaml does not exist; available robots: .*fr3"):
        load_deployment(written(tmp_path, robot="fr4"), CONFIG)
    with pytest.raises(ConfigError, match=r"available: .*tabletop_twin"):
        load_deployment(written(tmp_path, rig="kitchen"), CONFIG)


def test_overrides_replace_single_parameters():
    deployment = load_deployment("fr3_tabletop_twin", CONFIG, {"adapter": {"dry_run": True}})
    assert deployment.parameters["adapter"]["dry_run"] is True
    assert deployment.parameters["adapter"]["execution"]["gate"]["table_z_m"] == 0.0


def test_the_policy_is_told_names_frames_and_strokes_and_nothing_else():
    deployment = load_deployment("fr3_tabletop_twin", CONFIG)
    told = set(deployment.parameters["policy"]) - {"backend", "backend_config"}
    assert told == {"base_frame", "arm_names", "ee_frames", "gripper_strokes_m", "joint_counts", "joint_names"}


def test_the_demo_protocol_loads_and_an_unknown_one_is_refused():
    assert load_protocol("demo", CONFIG).deployment in SHIPPED
    with pytest.raises(ConfigError, match=r"unknown trial protocol 'marathon': expected one of .*demo"):
        load_protocol("marathon", CONFIG)


def without_dry_run() -> dict:
    nodes = yaml.safe_load((CONFIG / "deployments" / "fr3_tabletop_twin.yaml").read_text())["nodes"]
    del nodes["adapter"]["dry_run"]
    return nodes


def test_a_deployment_with_hardware_only_shows_what_it_would_do_until_it_is_started_live(tmp_path):
    path = written(tmp_path, hardware=True, nodes=without_dry_run())
    assert load_deployment(path, CONFIG).parameters["adapter"]["dry_run"] is True
    assert load_deployment(path, CONFIG, is_live=True).parameters["adapter"]["dry_run"] is False


def test_a_deployment_with_hardware_may_not_decide_to_move_by_itself(tmp_path):
    with pytest.raises(ConfigError, match=r"'dry_run' is set for node 'adapter'; leave it out: .* --live"):
        load_deployment(written(tmp_path, hardware=True), CONFIG)


def test_a_twin_moves_whether_it_is_started_live_or_not(tmp_path):
    for is_live in (True, False):
        assert load_deployment(written(tmp_path), CONFIG, is_live=is_live).parameters["adapter"]["dry_run"] is False


@pytest.mark.parametrize("namespace", ["", "/fr3", "fr3/", "7th", "left arm", 3])
def test_a_namespace_that_ros_can_not_name_nodes_in_is_refused(tmp_path, namespace):
    with pytest.raises(ConfigError, match="'namespace' is .*expected a ROS name without leading slash"):
        load_deployment(written(tmp_path, namespace=namespace), CONFIG)


def test_processes_and_nodes_of_another_shape_are_refused_together(tmp_path):
    with pytest.raises(ConfigError) as refused:
        load_deployment(written(tmp_path, processes=["camera"], nodes=["camera"]), CONFIG)
    assert "'processes' must be a list of entries" in str(refused.value)
    assert "'nodes' must map every node" in str(refused.value)
