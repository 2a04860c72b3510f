"""The network behind the interface of the exported graphs."""

import itertools

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'vla3d_ros[nets]'")

from vla3d_ros.errors import ShapeError
from vla3d_ros.policy.engine import Guidance
from vla3d_ros.policy.export import example_inputs
from vla3d_ros.policy.nets.torch_engine import TorchEngine


@pytest.fixture
def engine(net_of):
    ticks = itertools.count(0, 5)
    return TorchEngine(net_of("tiny_vla3d"), clock_ns=lambda: next(ticks))


@pytest.fixture
def noise(net_of):
    config = net_of("tiny_vla3d").config
    return np.random.default_rng(2).standard_normal((config.chunk, config.action_width)).astype(np.float32)


def test_actions_are_those_of_the_flow(engine, noise, net_of, scene_of, chunk_of):
    import torch

    net = net_of("tiny_vla3d")
    inputs = example_inputs(net.config, 5) | {"embodiment": np.zeros(1, np.int64)}
    seeded = torch.randn(1, *noise.shape, generator=torch.Generator().manual_seed(0))[0].numpy()
    got = engine.infer(inputs, seeded, 5, None)
    assert np.allclose(got.actions, chunk_of(net, scene_of(net.config))[0].numpy(), atol=1e-5)
    assert got.stage_ns == {"context": 5, "flow": 5}
    assert got.display["instance_points"].shape == (net.config.vla3d.instances, 3)


def test_more_flow_steps_are_another_but_similar_chunk(engine, noise, net_of):
    inputs = example_inputs(net_of("tiny_vla3d").config)
    five, ten, twenty = (engine.infer(inputs, noise, steps, None).actions for steps in (5, 10, 20))
    assert 0 < np.abs(ten - twenty).mean() < np.abs(five - twenty).mean()


def test_given_steps_come_back_as_given(engine, noise, net_of):
    previous = np.ones_like(noise)
    prefix = np.arange(len(noise)) < 3
    guidance = Guidance(previous=previous, weights=np.zeros(len(noise), np.float32), beta=0.0, prefix_mask=prefix)
    actions = engine.infer(example_inputs(net_of("tiny_vla3d").config), noise, 5, guidance).actions
    assert (actions[:3] == 1.0).all()


def test_guidance_brings_the_chunk_nearer_to_the_previous_one(engine, noise, net_of):
    inputs = example_inputs(net_of("tiny_vla3d").config)
    previous = np.zeros_like(noise)
    none = np.zeros(len(noise), np.bool_)
    pull = Guidance(previous=previous, weights=np.ones(len(noise), np.float32), beta=5.0, prefix_mask=none)
    free, pulled = (np.abs(engine.infer(inputs, noise, 5, guidance).actions).mean() for guidance in (None, pull))
    assert pulled < 0.5 * free


def test_every_wrong_input_is_named(engine, noise, net_of):
    inputs = example_inputs(net_of("tiny_vla3d").config)
    del inputs["K"]
    inputs["state"] = inputs["state"].astype(np.float64)
    inputs["view_mask"] = np.ones((1, 2), np.bool_)
    with pytest.raises(ShapeError) as raised:
        engine.infer(inputs, noise, 5, None)
    for part in ("'K' is missing", "'state' is (1, 2, 18) float64", "'view_mask' is (1, 2) bool"):
        assert part in str(raised.value)
