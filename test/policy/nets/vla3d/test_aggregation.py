"""Eq. 14, 15 and 16 against NumPy."""

import numpy as np
import torch
from float64_layers import gelu, layer_norm, linear, mlp, shaken, sigmoid, softmax, weights_of

from vla3d_ros.policy.nets.route_configs import Vla3dConfig
from vla3d_ros.policy.nets.vla3d.aggregation import EndEffectorEncoding, LocalContext, UncertaintyGate, nearest_mask

RNG = np.random.default_rng(13)
CONFIG = Vla3dConfig(width=24, heads=3, neighbours=4, ee_frequencies=5)


def tensor(array):
    return torch.tensor(array, dtype=torch.float32)


def phi(dp):
    """Eq. 14: [dp, sin(2^0 pi dp), cos(2^0 pi dp), ..., cos(2^(F-1) pi dp)]."""
    parts = [dp]
    for power in range(CONFIG.ee_frequencies):
        parts += [np.sin(2.0**power * np.pi * dp), np.cos(2.0**power * np.pi * dp)]
    return np.concatenate(parts, axis=-1)


def test_one_arm_is_encoded_by_equation_14():
    encoding = shaken(EndEffectorEncoding(CONFIG, 1))
    points, ee = RNG.uniform(-0.5, 0.5, (1, 6, 3)), RNG.uniform(-0.5, 0.5, (1, 1, 3))
    found = encoding(tensor(points), tensor(ee), torch.ones(1, 1, dtype=torch.bool))
    expected = mlp(phi(points - ee), weights_of(encoding), "arms.0")
    np.testing.assert_allclose(found.detach(), expected, atol=2e-5)


def test_two_arms_add_up_and_an_absent_arm_adds_nothing():
    encoding = shaken(EndEffectorEncoding(CONFIG, 2))
    points, ee = RNG.uniform(-0.5, 0.5, (1, 6, 3)), RNG.uniform(-0.5, 0.5, (1, 2, 3))
    w = weights_of(encoding)
    left, right = (mlp(phi(points - ee[:, arm : arm + 1]), w, f"arms.{arm}") for arm in range(2))
    both = encoding(tensor(points), tensor(ee), torch.tensor([[True, True]]))
    np.testing.assert_allclose(both.detach(), left + right, atol=4e-5)
    ee[:, 1] = np.nan
    alone = encoding(tensor(points), tensor(ee), torch.tensor([[True, False]]))
    np.testing.assert_allclose(alone.detach(), left, atol=2e-5)


def test_the_encoding_follows_thing_and_hand_together():
    encoding = shaken(EndEffectorEncoding(CONFIG, 1))
    points, ee = tensor(RNG.uniform(-0.5, 0.5, (1, 6, 3))), tensor(RNG.uniform(-0.5, 0.5, (1, 1, 3)))
    there = torch.ones(1, 1, dtype=torch.bool)
    shift = tensor([0.2, -0.1, 0.05])
    moved = encoding(points + shift, ee + shift, there)
    np.testing.assert_allclose(moved.detach(), encoding(points, ee, there).detach(), atol=1e-4)


def context_by_eq_15(w, state, points, features, places, mask):
    width = CONFIG.width // CONFIG.heads
    query, key, value = linear(state, w, "query"), linear(features, w, "key"), linear(features, w, "value")
    gathered = np.zeros_like(query)
    for i, p in enumerate(points):
        distance = np.where(mask, np.linalg.norm(places - p, axis=-1), np.inf)
        near = [j for j in np.argsort(distance)[: CONFIG.neighbours] if mask[j]]
        bias = mlp(places[near] - p, w, "bias")
        for head in range(CONFIG.heads):
            part = slice(head * width, (head + 1) * width)
            scores = key[near][:, part] @ query[i, part] / np.sqrt(width) + bias[:, head]
            gathered[i, part] = softmax(scores) @ value[near][:, part] if near else 0.0
    return gathered @ w["out.weight"].T


def test_local_context_is_equation_15():
    context = shaken(LocalContext(CONFIG))
    state, features = RNG.normal(size=(5, 24)), RNG.normal(size=(30, 24))
    points, places = RNG.uniform(-0.5, 0.5, (5, 3)), RNG.uniform(-0.5, 0.5, (30, 3))
    for known in (30, 9, 2):
        mask = np.arange(30) < known
        found = context(*(tensor(one[None]) for one in (state, points, features, places)), torch.tensor(mask[None]))
        expected = context_by_eq_15(weights_of(context), state, points, features, places, mask)
        np.testing.assert_allclose(found[0].detach(), expected, atol=5e-5)


def test_no_completion_point_gives_no_context():
    context = shaken(LocalContext(CONFIG))
    nothing = context(
        torch.randn(1, 5, 24),
        torch.rand(1, 5, 3),
        torch.randn(1, 30, 24),
        torch.zeros(1, 30, 3),
        torch.zeros(1, 30) > 0,
    )
    assert not nothing.any()


def test_only_the_nearest_points_count():
    points, places = torch.zeros(1, 1, 3), torch.arange(6, dtype=torch.float32)[None, :, None].expand(1, 6, 3) * 0.1
    mask = torch.tensor([[True, False, True, True, True, True]])
    assert nearest_mask(points, places, mask, 3)[0, 0].tolist() == [True, False, True, True, False, False]


def test_gate_is_equation_16():
    gate = shaken(UncertaintyGate(Vla3dConfig(width=24, heads=3, gate_temperature=1.7)))
    w = weights_of(gate)
    c, h, u = RNG.normal(size=(1, 5, 24)), RNG.normal(size=(1, 5, 24)), RNG.uniform(0, 1, (1, 5))
    joined = np.concatenate([c, h, u[..., None]], axis=-1)
    g = sigmoid(1.7 * linear(gelu(linear(joined, w, "first")), w, "last"))
    np.testing.assert_allclose(gate.gate(tensor(c), tensor(h), tensor(u)).detach(), g, atol=1e-5)
    routed = gate(tensor(c), tensor(h), tensor(u)).detach()
    np.testing.assert_allclose(routed, c + g * layer_norm(h, w, "norm"), atol=2e-5)


def test_every_gate_begins_at_the_sigmoid_of_minus_three():
    gate = UncertaintyGate(CONFIG)
    for scale in (0.0, 1.0, 100.0):
        found = gate.gate(torch.randn(2, 5, 24) * scale, torch.randn(2, 5, 24) * scale, torch.rand(2, 5))
        np.testing.assert_allclose(found.detach(), sigmoid(-3.0), rtol=1e-6)
