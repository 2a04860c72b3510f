"""Probes: view gates, bounded refinement (Eq. 4), heads that know their view, and the choice of the best."""

import numpy as np
import torch
from box_scene import cameras_at, look_at
from float64_layers import gelu, layer_norm, linear, mlp, shaken, sigmoid, weights_of

from vla3d_ros.policy.nets.route_configs import Vla3dConfig
from vla3d_ros.policy.nets.vla3d.fourier import FourierEmbedding, frequency_features
from vla3d_ros.policy.nets.vla3d.instance_heads import InstanceHeads
from vla3d_ros.policy.nets.vla3d.probe_layer import ProbeLayer, Probes, normalised_gates, refine
from vla3d_ros.policy.nets.vla3d.probes import spread_points
from vla3d_ros.policy.nets.vla3d.pyramid import Pyramid
from vla3d_ros.policy.nets.vla3d.rope3d import Rope3d
from vla3d_ros.policy.nets.vla3d.selection import select_instances

RNG = np.random.default_rng(11)
CONFIG = Vla3dConfig(width=24, heads=2, sampling_heads=2, sampling_points=2, mlp_ratio=2.0, pixel_frequencies=3)
GRIDS = ((8, 8), (4, 4), (2, 2))
POSES = [look_at([0.7, 0.0, 0.6], [0.0, 0.0, 0.0]), look_at([-0.7, 0.1, 0.6], [0.0, 0.0, 0.0])]


def tensor(array):
    return torch.tensor(array, dtype=torch.float32)


def test_view_gates_are_sigmoids_shared_out_over_the_views_that_see():
    logits, visible = RNG.normal(size=(2, 3, 9)) * 3, RNG.uniform(size=(2, 3, 9)) < 0.6
    gates = normalised_gates(tensor(logits), torch.tensor(0.7), torch.tensor(visible)).numpy()
    raw = sigmoid(logits / 0.7) * visible
    total = raw.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(gates, np.divide(raw, total, out=np.zeros_like(raw), where=total > 0), atol=1e-5)


def test_refinement_is_equation_4_and_never_exceeds_alpha():
    points, logits = RNG.normal(size=(1, 6, 3)), RNG.normal(size=(1, 6, 3)) * 50
    refined = refine(tensor(points), tensor(logits), 0.1).numpy()
    np.testing.assert_allclose(refined, points + 0.1 * np.tanh(logits), atol=1e-6)
    assert np.abs(refined - points).max() <= 0.1 + 1e-6


def run_layer(points, cells, poses=POSES):
    torch.manual_seed(2)
    layer = shaken(ProbeLayer(CONFIG), scale=0.2)
    pixel_embedding = FourierEmbedding(2, CONFIG.pixel_frequencies, CONFIG.width)
    rope = Rope3d(12, base=1e4, scale_per_m=10.0)
    state = tensor(np.random.default_rng(1).normal(size=(1, points.shape[1], CONFIG.width)))
    probes = Probes(state, points, torch.zeros(1, len(poses), points.shape[1]))
    pyramid = Pyramid(cells, GRIDS, torch.zeros(1, len(poses), 1, 1, 1))
    cameras = cameras_at(poses)
    with torch.no_grad():
        after = layer(probes, pixel_embedding, rope, cameras, pyramid)
        settled = layer.block(state, rope(points), torch.ones(1, points.shape[1], dtype=torch.bool))
    return after, settled, layer


def test_a_probe_learns_nothing_from_a_camera_it_lies_behind():
    behind = POSES[0][:3, 3] - 0.2 * POSES[0][:3, 2]
    points = tensor(np.stack([[0.0, 0.0, 0.0], behind])[None])
    cells = tensor(RNG.normal(size=(1, 2, 84, 24)))
    other = cells.clone()
    other[0, 0] += 5.0
    (before, _, _), (after, _, _) = run_layer(points, cells), run_layer(points, other)
    assert before.gates[0, 0, 1] == 0.0
    np.testing.assert_array_equal(before.state[0, 1], after.state[0, 1])
    assert (before.state[0, 0] - after.state[0, 0]).abs().max() > 1e-2


def test_a_probe_that_no_view_sees_keeps_its_state():
    above = [0.0, 0.0, 3.0]
    after, settled, _ = run_layer(tensor([[above, [0.0, 0.0, 0.0]]]), tensor(RNG.normal(size=(1, 2, 84, 24))))
    assert not after.gates[0, :, 0].any()
    np.testing.assert_array_equal(after.state[0, 0], settled[0, 0])
    np.testing.assert_allclose(after.gates[0, :, 1].sum(), 1.0, atol=1e-4)


def test_a_layer_moves_points_by_the_state_it_ends_with():
    points = tensor(RNG.uniform(-0.1, 0.1, (1, 5, 3)))
    after, _, layer = run_layer(points, tensor(RNG.normal(size=(1, 2, 84, 24))))
    w = weights_of(layer)
    state = after.state[0].numpy().astype(float)
    normed = layer_norm(state, w, "refinement.0")
    hidden = linear(normed, w, "refinement.1")
    expected = points[0].numpy() + CONFIG.refinement_m * np.tanh(linear(gelu(hidden), w, "refinement.3"))
    np.testing.assert_allclose(after.points[0], expected, atol=1e-5)


def test_pixel_features_are_sines_and_cosines_of_doubling_frequency():
    x = RNG.uniform(-1, 1, (4, 2))
    rows = [np.concatenate([one, *(f(2**k * np.pi * one) for k in range(3) for f in (np.sin, np.cos))]) for one in x]
    np.testing.assert_allclose(frequency_features(tensor(x), 3), rows, atol=1e-5)


def test_boxes_and_masks_depend_on_the_view_and_logits_do_not():
    torch.manual_seed(0)
    heads = shaken(InstanceHeads(CONFIG))
    w = weights_of(heads)
    state, embedding = RNG.normal(size=(1, 4, 24)), RNG.normal(size=(1, 2, 4, 24))
    pixels, mask_map = RNG.uniform(0.1, 0.9, (1, 2, 4, 2)), RNG.normal(size=(1, 2, CONFIG.mask_width, 5, 6))
    with torch.no_grad():
        said = heads.view_state(tensor(state), tensor(embedding))
        boxes, masks = heads.boxes(said, tensor(pixels)), heads.mask_logits(said, tensor(mask_map))
    conditioned = layer_norm(state, w, "norm")[:, None] + embedding
    raw = mlp(conditioned, w, "box")
    centre = sigmoid(raw[..., :2] + np.log(pixels / (1 - pixels)))
    np.testing.assert_allclose(boxes, np.concatenate([centre, sigmoid(raw[..., 2:])], axis=-1), atol=1e-5)
    expected = np.einsum("bvqc,bvchw->bvqhw", mlp(conditioned, w, "mask"), mask_map) / np.sqrt(CONFIG.mask_width)
    np.testing.assert_allclose(masks, expected, atol=1e-4)
    assert heads.class_logits(tensor(state)).shape == (1, 4, CONFIG.classes)


def test_probes_begin_spread_evenly_over_their_box():
    points = spread_points(300, (-1.0, -0.5, 0.0), (1.0, 0.5, 0.4)).numpy()
    octants = ((points - [0.0, 0.0, 0.2]) > 0) @ np.array([1, 2, 4])
    assert np.bincount(octants, minlength=8).min() > 30
    assert (np.abs(points - [0, 0, 0.2]) <= [1.0, 0.5, 0.2]).all()


def chosen(logits, gates, slots=4, least=0.2):
    count = len(logits)
    probes = Probes(
        torch.arange(count, dtype=torch.float32)[None, :, None], torch.zeros(1, count, 3), tensor(gates)[None]
    )
    return select_instances(probes, tensor(logits)[None, :, None], slots=slots, least_score=least)


def test_the_best_seen_probes_fill_the_slots():
    gates = np.array([[1.0, 0.4, 0.0, 1.0, 1.0, 0.5], [0.0, 0.6, 0.0, 0.0, 0.0, 0.5]])
    instances = chosen([0.3, 2.0, 9.0, -0.5, -4.0, 1.0], gates)
    assert instances.probe[0].tolist() == [1, 5, 0, 3]  # probe 2 is surest, but nobody sees it
    np.testing.assert_allclose(instances.uncertainty[0], 1 - sigmoid(np.array([2.0, 1.0, 0.3, -0.5])), atol=1e-6)
    assert instances.state[0, :, 0].tolist() == [1, 5, 0, 3]
    np.testing.assert_allclose(instances.gates[0], gates[:, [1, 5, 0, 3]], atol=1e-6)


def test_slots_below_the_score_or_unseen_stay_empty():
    gates = np.array([[1.0, 1.0, 0.0, 1.0]])
    instances = chosen([0.3, -4.0, 9.0, 1.0], gates)
    assert dict(zip(instances.probe[0].tolist(), instances.mask[0].tolist(), strict=True)) == {
        3: True,
        0: True,
        1: False,
        2: False,
    }
