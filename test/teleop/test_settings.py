import pytest
import yaml
from teleop_hands import CONFIG

from vla3d_ros.errors import ConfigError
from vla3d_ros.teleop.loading import load_device, load_keys
from vla3d_ros.teleop.settings import DEVICES, list_teleop_configs, load_teleop_settings


def written(tmp_path, **changes):
    content = yaml.safe_load((CONFIG / "teleop" / "gamepad.yaml").read_text()) | changes
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
    return path


@pytest.mark.parametrize("name", list_teleop_configs(CONFIG))
def test_every_shipped_file_makes_its_device(name):
    settings = load_teleop_settings(CONFIG / "teleop" / f"{name}.yaml")
    device = load_device(settings, load_keys(settings), CONFIG / "robots" / "fr3.yaml", "", lambda: 0.0)
    assert device.name == settings.device == name


def test_there_is_a_file_for_every_device():
    assert set(list_teleop_configs(CONFIG)) == set(DEVICES)


def test_everything_wrong_is_listed_at_once(tmp_path):
    path = written(tmp_path, device="joystick", clutch=None, speed=3, scales=["fast"])
    with pytest.raises(ConfigError) as refused:
        load_teleop_settings(path)
    for problem in (
        "'device' is 'joystick'; expected one of",
        "'clutch' is missing",
        "unknown key 'speed'",
        "'scales' is",
    ):
        assert problem in str(refused.value)


def test_speeds_that_a_chunk_cannot_brake_from_are_refused(tmp_path):
    limits = {"linear_m_s": 1.0, "angular_rad_s": 1.0, "linear_m_s2": 1.0, "angular_rad_s2": 4.0, "gripper_per_s": 2.0}
    with pytest.raises(ConfigError, match=r"braking takes 1\.27 s, a chunk is 1\.00 s long: lower the speeds"):
        load_teleop_settings(written(tmp_path, limits=limits))


def test_frames_are_base_or_tool(tmp_path):
    with pytest.raises(ConfigError, match="expected 6 of"):
        load_teleop_settings(written(tmp_path, frames=["base", "world"]))


def test_an_unknown_file_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"available: \['browser', 'gamepad'"):
        load_teleop_settings(CONFIG / "teleop" / "mouse.yaml")
