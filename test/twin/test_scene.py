"""Scene files are read strictly."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from vla3d_ros.errors import ConfigError
from vla3d_ros.twin.scene import load_scene

SCENES = Path(__file__).parents[2] / "config" / "scenes"


def test_shipped_scene_loads(scene) -> None:
    assert set(scene.cubes.colours) == {"red", "green", "blue", "yellow"}
    assert set(scene.pads.colours) == {"purple", "cyan", "orange"}
    assert scene.trial.instruction.format(cube="red", pad="cyan").startswith("pick up the red cube")


def test_missing_scene_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"kitchen\.yaml does not exist.*tabletop"):
        load_scene(SCENES / "kitchen.yaml")


def test_every_problem_of_a_scene_is_reported_at_once(tmp_path: Path) -> None:
    content = yaml.safe_load((SCENES / "tabletop.yaml").read_text())
    content["cubes"]["mass_kg"] = -1
    content["table"]["color"] = [0, 0, 0]
    del content["success"]["hold_s"]
    file = tmp_path / "scene.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError) as caught:
        load_scene(file)
    text = str(caught.value)
    assert all(word in text for word in ("cubes.mass_kg", "table.color", "success.hold_s", "3 problems"))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("trial", "cubes"), 9, "at most 4"),
        (("trial", "region_x_m"), [0.6, 0.3], "lowest, highest"),
        (("trial", "instruction"), "pick up the cube", "{cube}"),
        (("pads", "colours", "cyan"), [0, 2, 0], "cyan"),
    ],
)
def test_contradictions_are_named(tmp_path: Path, path: tuple[str, ...], value: object, words: str) -> None:
    content = yaml.safe_load((SCENES / "tabletop.yaml").read_text())
    section = content
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    file = tmp_path / "scene.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError) as caught:
        load_scene(file)
    assert words in str(caught.value)
