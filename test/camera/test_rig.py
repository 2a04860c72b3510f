"""Camera rig files are read strictly, and mounts mean what they say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from vla3d_ros.camera.rig import load_rig, look_at
from vla3d_ros.errors import ConfigError, ShapeError

RIGS = Path(__file__).parents[2] / "config" / "cameras"


@pytest.fixture
def edited(tmp_path: Path) -> Callable[[Callable[[dict], object]], Path]:
    """Write the shipped rig with a change and return the file."""

    def write(change: Callable[[dict], object]) -> Path:
        content = yaml.safe_load((RIGS / "tabletop_twin.yaml").read_text())
        change(content)
        file = tmp_path / "rig.yaml"
        file.write_text(yaml.safe_dump(content))
        return file

    return write


def test_shipped_rig_loads() -> None:
    rig = load_rig(RIGS / "tabletop_twin.yaml")
    assert [camera.name for camera in rig.cameras] == ["head", "side", "wrist"]
    assert (rig.anchor, rig.rate_hz) == ("head", 30.0)
    head = rig.camera("head")
    assert (head.model.width_px, head.model.height_px, head.source) == (640, 480, "twin")
    assert head.mount.optical_frame == "head_optical_frame"
    with pytest.raises(ConfigError, match=r"no camera 'chest'.*head"):
        rig.camera("chest")


def test_missing_rig_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no camera rig file.*tabletop_twin"):
        load_rig(RIGS / "kitchen.yaml")


def test_size_that_contradicts_the_intrinsics_names_camera_value_and_remedy(edited) -> None:
    with pytest.raises(ConfigError) as caught:
        load_rig(edited(lambda rig: rig["cameras"]["side"].update(width_px=1280, height_px=720)))
    text = str(caught.value)
    assert "camera 'side'" in text and "(319.5, 239.5)" in text and "1280x720" in text and "calibrate" in text


def test_missing_intrinsics_are_named(edited) -> None:
    with pytest.raises(ConfigError, match=r"camera 'head': 'K' is None; expected 9 numbers"):
        load_rig(edited(lambda rig: rig["cameras"]["head"].pop("K")))


def test_every_problem_of_a_rig_is_reported_at_once(edited) -> None:
    def spoil(rig: dict) -> None:
        rig["anchor"] = "chest"
        rig["rate_hz"] = 0
        rig["cameras"]["head"]["colour"] = "rgb"
        rig["cameras"]["side"]["distortion"] = [0.1, 0.2]
        rig["cameras"]["wrist"]["mount"]["xyzw"] = [0, 0, 0, 1]

    with pytest.raises(ConfigError) as caught:
        load_rig(edited(spoil))
    text = str(caught.value)
    assert "5 problems" in text
    for word in ("anchor is 'chest'", "'rate_hz' is 0", "['colour']", "'distortion' is [0.1, 0.2]", "exactly one of"):
        assert word in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda camera: camera.update(K=[500, 0, 319.5, 0, -500, 239.5, 0, 0, 1]), "fx, fy > 0"),
        (lambda camera: camera.update(width_px=640.5), "whole number of pixels"),
        (lambda camera: camera["mount"].pop("parent_frame"), "'parent_frame' is None"),
        (lambda camera: camera["mount"].update(position_m=[1, 2]), "3 numbers in metres"),
        (lambda camera: camera["mount"].update(look_at_m=camera["mount"]["position_m"]), "no defined rotation"),
    ],
)
def test_wrong_values_are_named(edited, change, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_rig(edited(lambda rig: change(rig["cameras"]["head"])))
    assert words in str(caught.value) and "camera 'head'" in str(caught.value)


def test_mount_by_quaternion_is_the_optical_pose(edited) -> None:
    def turn(rig: dict) -> None:
        mount = rig["cameras"]["head"]["mount"]
        del mount["look_at_m"]
        mount["xyzw"] = [1.0, 0.0, 0.0, 0.0]

    mount = load_rig(edited(turn)).camera("head").mount
    np.testing.assert_allclose(mount.T_parent_camera.rotation, np.diag([1.0, -1.0, -1.0]), atol=1e-12)
    with pytest.raises(ConfigError, match="norm 2"):
        load_rig(edited(lambda rig: (turn(rig), rig["cameras"]["head"]["mount"].update(xyzw=[2, 0, 0, 0]))))


def test_camera_that_looks_at_a_point_sees_it_on_its_axis_with_up_above() -> None:
    generator = np.random.default_rng(7)
    for _ in range(50):
        position, target, up = generator.normal(size=(3, 3))
        T_parent_camera = look_at(position, target, up)
        p_camera = T_parent_camera.inverse().apply(target)
        np.testing.assert_allclose(p_camera, [0.0, 0.0, np.linalg.norm(target - position)], atol=1e-9)
        up_camera = T_parent_camera.rotation.T @ up
        assert up_camera[1] < 0 and abs(up_camera[0]) < 1e-9


def test_camera_that_looks_along_up_has_no_rotation() -> None:
    with pytest.raises(ShapeError, match="no defined rotation"):
        look_at(np.zeros(3), np.array([0.0, 0.0, 1.0]), np.array([0.0, 0.0, 2.0]))


def test_the_rig_of_three_realsense_cameras_has_settings_that_the_source_accepts() -> None:
    from vla3d_ros.camera.realsense_settings import read_settings

    rig = load_rig(RIGS / "three_realsense.yaml")
    settings = {camera.name: read_settings(camera) for camera in rig.cameras}
    assert len({chosen.serial for chosen in settings.values()}) == 3
    assert settings["wrist"].depth and not settings["head"].depth
