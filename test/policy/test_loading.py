"""Settings files on top of one another."""

import pytest

from vla3d_ros.errors import ConfigError
from vla3d_ros.policy.loading import load_backend, read_settings


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "base.yaml").write_text("backend: scripted\ntask: {a: 1, b: 2}\ncameras: [x, y]\n")
    return tmp_path


def test_sections_are_merged_and_everything_else_is_replaced(folder):
    (folder / "own.yaml").write_text("extends: base\ntask: {b: 3}\ncameras: [z]\n")
    expected = {"backend": "scripted", "task": {"a": 1, "b": 3}, "cameras": ["z"]}
    assert read_settings(folder / "own.yaml") == expected


def test_layers_may_be_many(folder):
    (folder / "middle.yaml").write_text("extends: base\ntask: {a: 7}\n")
    (folder / "top.yaml").write_text("extends: middle\ntask: {c: 9}\n")
    assert read_settings(folder / "top.yaml")["task"] == {"a": 7, "b": 2, "c": 9}


def test_a_missing_base_is_named_with_what_there_is(folder):
    (folder / "own.yaml").write_text("extends: bass\n")
    with pytest.raises(ConfigError, match=r"extends 'bass'.*\['base'\]"):
        read_settings(folder / "own.yaml")


def test_a_circle_is_refused(folder):
    (folder / "one.yaml").write_text("extends: two\n")
    (folder / "two.yaml").write_text("extends: one\n")
    with pytest.raises(ConfigError, match="extends"):
        read_settings(folder / "one.yaml")


def test_an_unknown_backend_is_refused(folder):
    with pytest.raises(ConfigError, match="unknown policy backend"):
        load_backend("oracle", str(folder / "base.yaml"))
