"""The drawn table-top is found where it was drawn, also when something hides a part of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn_tabletop import INSTRUCTION, observe, robot_at, settings, views
from numpy.typing import NDArray

from vla3d_ros.policy.backends.scripted_config import ScriptedConfig, read_scripted_config
from vla3d_ros.policy.backends.scripted_instruction import read_instruction
from vla3d_ros.policy.backends.scripted_perception import TabletopPerception

Float = NDArray[np.float64]

CONFIG = read_scripted_config(settings())
TOOL = np.array([0.4, 0.0, 0.4, 0.0, 0.0, 0.0])
PAD = np.array([0.42, -0.15, 0.001, 0.3])


def perception(config: ScriptedConfig = CONFIG) -> TabletopPerception:
    colours = config.colours
    return TabletopPerception(config, read_instruction(INSTRUCTION, colours.cubes_hue_deg, colours.pads_hue_deg))


def yaw_error(measured: float, drawn: float) -> float:
    return abs((measured - drawn + np.pi / 4) % (np.pi / 2) - np.pi / 4)


@pytest.mark.parametrize("seed", range(12))
def test_cube_and_pad_are_found_within_three_millimetres_and_three_degrees(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cube = np.array([rng.uniform(0.35, 0.6), rng.uniform(0.02, 0.28), 0.02, rng.uniform(-0.8, 0.8)])
    pad = np.array([rng.uniform(0.35, 0.6), rng.uniform(-0.28, -0.12), 0.001, rng.uniform(-0.8, 0.8)])
    beliefs = perception().update(observe(views(cube, pad), robot_at(TOOL, 1.0, 0)))
    for name, drawn in (("cube", cube), ("pad", pad)):
        belief = beliefs[name]
        assert belief is not None
        assert np.linalg.norm(belief.box[:3] - drawn[:3]) < 0.003
        assert yaw_error(float(belief.box[3]), float(drawn[3])) < np.radians(3.0)


def test_a_half_hidden_cube_is_still_found_where_it_is() -> None:
    cube = np.array([0.5, 0.1, 0.02, 0.4])
    seeing = perception()
    seeing.update(observe(views(cube, PAD), robot_at(TOOL, 1.0, 0)))
    whole = views(cube, PAD)[0]
    rows, columns = np.nonzero((whole.rgb == (215, 13, 13)).all(axis=2))
    hand = (int(columns.mean()), 0, 640, int(rows.mean()))
    belief = seeing.update(observe(views(cube, PAD, occluded={"head": hand}), robot_at(TOOL, 1.0, 1)))["cube"]
    assert belief is not None
    assert belief.stamp_ns == 1
    assert np.linalg.norm(belief.box[:3] - cube[:3]) < 0.004


def test_one_view_alone_is_not_enough_to_find_a_cube() -> None:
    everything = (0, 0, 640, 480)
    images = views(np.array([0.5, 0.1, 0.02, 0.4]), PAD, occluded={"head": everything, "wrist": everything})
    assert perception().update(observe(images, robot_at(TOOL, 1.0, 0)))["cube"] is None


def test_a_hidden_cube_is_remembered_with_its_age() -> None:
    cube = np.array([0.5, 0.1, 0.02, 0.4])
    seeing = perception()
    seeing.update(observe(views(cube, PAD), robot_at(TOOL, 1.0, 0)))
    everything = dict.fromkeys(("head", "side", "wrist"), (0, 0, 640, 480))
    belief = seeing.update(observe(views(cube, PAD, occluded=everything), robot_at(TOOL, 1.0, 500)))["cube"]
    assert belief is not None
    assert belief.age_ns(500) == 500
    assert np.linalg.norm(belief.box[:3] - cube[:3]) < 0.003


def test_a_moved_cube_is_believed_when_it_was_seen_twice() -> None:
    before, after = np.array([0.5, 0.1, 0.02, 0.4]), np.array([0.46, 0.13, 0.02, 0.9])
    seeing = perception()
    seeing.update(observe(views(before, PAD), robot_at(TOOL, 1.0, 0)))
    once = seeing.update(observe(views(after, PAD), robot_at(TOOL, 1.0, 1)))["cube"]
    twice = seeing.update(observe(views(after, PAD), robot_at(TOOL, 1.0, 2)))["cube"]
    assert once is not None and twice is not None
    assert np.linalg.norm(once.box[:3] - before[:3]) < 0.003
    assert np.linalg.norm(twice.box[:3] - after[:3]) < 0.003


def test_a_cube_cut_by_the_image_border_is_not_pulled_inwards() -> None:
    shifted = [replace(view) for view in views(np.array([0.5, 0.1, 0.02, 0.4]), PAD)]
    cube = np.array([0.5, 0.1, 0.02, 0.4])
    head = shifted[0]
    columns = np.nonzero((head.rgb == (215, 13, 13)).all(axis=2))[1]
    middle = int(columns.mean()) + 4
    model = replace(head.model, width_px=middle)
    shifted[0] = replace(head, rgb=np.ascontiguousarray(head.rgb[:, :middle]), model=model)
    belief = perception().update(observe(shifted, robot_at(TOOL, 1.0, 0)))["cube"]
    assert belief is not None
    assert np.linalg.norm(belief.box[:3] - cube[:3]) < 0.004
