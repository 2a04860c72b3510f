"""Settings of demonstrations: every problem at once, and a digest that knows what matters."""

from dataclasses import replace

import pytest
import yaml

from vla3d_ros.errors import ConfigError
from vla3d_ros.resources import config_dir
from vla3d_ros.training.demonstrations.config import load_settings, read_settings

FOLDER = config_dir() / "training"


def content():
    return yaml.safe_load((FOLDER / "demonstrations.yaml").read_text())


@pytest.mark.parametrize("path", sorted(FOLDER.glob("demonstrations*.yaml")), ids=lambda path: path.stem)
def test_shipped_settings_are_read_and_name_variations_that_exist(path):
    settings = load_settings(path)
    assert {path.stem for path in (config_dir() / "variations").glob("*.yaml")} >= set(settings.variations)


def test_all_problems_are_told_at_once():
    wrong = content()
    wrong["nudge_share"], wrong["episodes"], wrong["colour"] = 1.5, 2.5, "red"
    wrong["pictures"]["fit"] = "crop"
    wrong["disturbances"]["speed_m_s"] = [0.3, 0.1]
    wrong["variations"] = {}
    with pytest.raises(ConfigError) as caught:
        read_settings(wrong, where="settings")
    for word in (
        "'nudge_share' is 1.5",
        "'episodes' is 2.5",
        "'colour'",
        "'crop'",
        "[0.3, 0.1]",
        "'variations' is empty",
    ):
        assert word in str(caught.value)


def test_more_episodes_are_the_same_demonstrations_but_another_seed_is_not():
    settings = load_settings(FOLDER / "demonstrations.yaml")
    assert replace(settings, episodes=9).digest == settings.digest
    assert replace(settings, seed=9).digest != settings.digest


def test_a_missing_file_names_those_there_are():
    with pytest.raises(ConfigError, match="demonstrations_smoke"):
        load_settings(FOLDER / "demonstrations_nowhere.yaml")
