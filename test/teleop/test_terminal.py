"""The terminal of `vla3d teleop`, through a pseudo terminal; and what it puts in the policy's place."""

import os
import pty
import termios

import pytest
import yaml
from rich.console import Console
from teleop_hands import CONFIG

from vla3d_ros.commands.teleop_session import teleop_file_of, with_teleop
from vla3d_ros.commands.teleop_terminal import Terminal, raw_terminal, read_waiting, status_line
from vla3d_ros.deployment import list_deployments, load_deployment
from vla3d_ros.errors import ConfigError
from vla3d_ros.teleop.device import REQUESTS

TWINS = [name for name in list_deployments(CONFIG) if name.endswith("_tabletop_twin")]


class WrittenDown:
    """An operator who notes what is asked of him."""

    def __init__(self) -> None:
        self.status, self.answer = {}, ""
        self.sent: list[str] = []
        self.requests: list[str] = []

    def send_keys(self, text: str) -> None:
        self.sent.append(text)

    def request(self, name: str) -> None:
        self.requests.append(name)


@pytest.fixture
def operator():
    return WrittenDown()


@pytest.fixture
def terminal(operator):
    return Terminal(operator, None, Console(), moves=True)


def test_requests_go_out_at_once_and_every_key_is_handed_on(terminal, operator):
    assert terminal.take("1w ")
    assert operator.requests == ["arm", "stop"]
    assert operator.sent == ["1w "]


def test_silence_is_a_heartbeat_and_q_quits(terminal, operator):
    assert terminal.take("")
    assert operator.sent == [""]
    assert not terminal.take("q")


def test_a_key_is_read_without_enter_and_the_terminal_is_left_as_it_was():
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    with raw_terminal(slave):
        os.write(master, b"w")
        assert read_waiting(slave, 5.0) == "w"
        assert read_waiting(slave, 0.0) == ""
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


def test_the_status_line_shows_state_clutch_and_speed():
    console = Console(width=160, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    status = {
        "adapter": "armed", "arms": "left right", "left_clutch": "closed", "right_clutch": "open", "selected": "left",
        "scale": "0.3", "device": "gamepad", "age_ms": "4", "message": "driving",
    }  # fmt: skip
    console.print(status_line(status, "record_start: episode_0001"))
    text = console.export_text()
    for part in ("armed", "● left closed", "○ right open", "30 %", "gamepad 4 ms", "driving", "episode_0001"):
        assert part in text
    status_line({}, "")  # before anything was heard


def test_every_request_has_a_service():
    pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")
    from vla3d_ros.ros.operator_requests import SERVICES

    assert set(SERVICES) == set(REQUESTS)


@pytest.mark.parametrize("name", TWINS)
def test_teleop_takes_the_policys_place_in_every_deployment(name):
    base = load_deployment(name, CONFIG)
    deployment = with_teleop(base, teleop_file_of("gamepad"), {})
    nodes = [node.rsplit("/", 1)[1] for node in deployment.node_names]
    assert "policy" not in nodes and nodes.count("teleop") == 1
    assert len(nodes) == len(base.node_names)
    text = deployment.parameter_file_text()
    parameters = yaml.safe_load(text)[f"/{deployment.namespace}/teleop"]["ros__parameters"]
    assert parameters["arm_names"] == [arm.name for arm in deployment.embodiment.arms]
    assert not [token for token in yaml.scan(text) if isinstance(token, yaml.AliasToken)]  # ROS can not read those
    session = yaml.safe_load(deployment.parameters["recorder"]["session_yaml"])
    assert "teleop" in session["nodes"] and "policy" not in session["nodes"]


def test_an_unknown_device_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"unknown device 'mouse': expected one of \['browser', 'gamepad'"):
        teleop_file_of("mouse")
