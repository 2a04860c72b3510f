"""The action expert's equations, against NumPy in float64 written from the formulas."""

import math

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'vla3d_ros[nets]'")

import torch

from vla3d_ros.policy.nets.action_expert import modulate, time_embedding
from vla3d_ros.policy.nets.attention import attend, attention_bias
from vla3d_ros.policy.nets.features import StepInputs
from vla3d_ros.policy.nets.flow import guidance_weight, interpolate

RNG = np.random.default_rng(7)


def numpy_layer_norm(x, weight=1.0, bias=0.0, eps=1e-5):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * weight + bias


def numpy_linear(x, layer):
    weight, bias = (value.double().numpy() for value in (layer.weight, layer.bias))
    return x @ weight.T + bias


def numpy_gelu(x):
    return 0.5 * x * (1.0 + np.vectorize(math.erf)(x / np.sqrt(2.0)))


def numpy_attention(q, k, v, heads, visible=None):
    out = np.zeros_like(q)
    size = q.shape[-1] // heads
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = q[:, part] @ k[:, part].T / np.sqrt(size)
        if visible is not None:
            scores = np.where(visible, scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        out[:, part] = weights / weights.sum(-1, keepdims=True) @ v[:, part]
    return out


def test_attention_is_softmax_of_scaled_products_over_visible_keys():
    q, k, v = RNG.standard_normal((5, 12)), RNG.standard_normal((7, 12)), RNG.standard_normal((7, 12))
    visible = np.array([True, True, False, True, False, True, True])
    tensors = (torch.from_numpy(array)[None] for array in (q, k, v))
    got = attend(*tensors, 3, attention_bias(torch.from_numpy(visible)[None]))
    assert np.allclose(got[0].numpy(), numpy_attention(q, k, v, 3, visible), atol=1e-12)


def test_what_a_hidden_key_holds_changes_no_bit():
    q, k, v = (torch.from_numpy(RNG.standard_normal((1, 6, 8)).astype(np.float32)) for _ in range(3))
    mask = torch.tensor([[True, True, True, False, True, False]])
    before = attend(q, k, v, 2, attention_bias(mask))
    k[:, ~mask[0]], v[:, ~mask[0]] = 37.0, -91.0
    assert torch.equal(attend(q, k, v, 2, attention_bias(mask)), before)


def test_nothing_visible_stays_finite():
    q = torch.ones(1, 2, 4)
    assert torch.isfinite(attend(q, q, q, 1, attention_bias(torch.zeros(1, 2, dtype=torch.bool)))).all()


def test_adaptive_layer_norm_shifts_and_scales_the_normed_token():
    x, shift, scale = RNG.standard_normal((3, 4, 8)), RNG.standard_normal((3, 4, 8)), RNG.standard_normal((3, 4, 8))
    got = modulate(*(torch.from_numpy(array) for array in (x, shift, scale)))
    assert np.allclose(got.numpy(), numpy_layer_norm(x, eps=1e-6) * (1 + scale) + shift, atol=1e-12)


def test_flow_time_is_embedded_in_sines_of_falling_frequency():
    tau = np.array([0.0, 0.3, 1.0])
    frequencies = 10000.0 ** (-np.arange(4) / 4)
    phase = 1000.0 * tau[:, None] * frequencies
    want = np.concatenate([np.cos(phase), np.sin(phase)], axis=-1)
    assert np.allclose(time_embedding(torch.from_numpy(tau), 8).numpy(), want, atol=1e-9)


def numpy_velocity(net, x, tau, context, given):
    """The whole expert for one sample with both arms present, from the formulas."""
    expert, config = net.expert.double(), net.config.expert
    width = config.width
    ones = np.ones((len(x), len(net.config.arms)))
    tokens = numpy_linear(np.concatenate([x, ones], axis=-1), expert.embed) + expert.position[0].numpy()
    times = np.where(given, 1.0, tau)
    half = width // 2
    phase = 1000.0 * times[:, None] * 10000.0 ** (-np.arange(half) / half)
    embedded = np.concatenate([np.cos(phase), np.sin(phase)], axis=-1)
    drive = numpy_linear(numpy_gelu(numpy_linear(embedded, expert.time.up)), expert.time.down)
    drive = drive + context.condition[0].double().numpy()
    drive = drive / (1.0 + np.exp(-drive))
    for layer, block in enumerate(expert.blocks):
        parts = np.split(numpy_linear(drive, block.modulation), 6, axis=-1)
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = parts
        normed = numpy_layer_norm(tokens, eps=1e-6) * (1 + scale_a) + shift_a
        q, k, v = np.split(numpy_linear(normed, block.self_attention.qkv), 3, axis=-1)
        mixed = numpy_linear(numpy_attention(q, k, v, config.heads), block.self_attention.out)
        tokens = tokens + gate_a * mixed
        norm = block.cross_norm
        query = numpy_linear(numpy_layer_norm(tokens, norm.weight.numpy(), norm.bias.numpy()), block.cross_query)
        k, v = (part[0, layer].double().numpy() for part in (context.context_k, context.context_v))
        found = numpy_attention(query, k, v, config.heads, context.context_mask[0].numpy())
        tokens = tokens + numpy_linear(found, block.cross_out)
        normed = numpy_layer_norm(tokens, eps=1e-6) * (1 + scale_m) + shift_m
        tokens = tokens + gate_m * numpy_linear(numpy_gelu(numpy_linear(normed, block.mlp.up)), block.mlp.down)
    shift, scale = np.split(numpy_linear(drive, expert.out_modulation), 2, axis=-1)
    velocity = numpy_linear(numpy_layer_norm(tokens, eps=1e-6) * (1 + scale) + shift, expert.out)
    expert.float()
    return velocity


def make_flow(net, scene, *, tau=0.4, beta=5.0, weights=0.0, prefix=0):
    config, context = net.config, net.context(scene)
    shape = (1, config.chunk, config.action_width)
    x, previous = (torch.from_numpy(RNG.standard_normal(shape).astype(np.float32)) for _ in range(2))
    memory = {name: getattr(context, name) for name in ("context_k", "context_v", "context_mask", "condition")}
    flow = StepInputs(
        x=x,
        tau=torch.tensor([tau]),
        dt=torch.tensor([0.2]),
        **memory,
        arm_mask=scene.arm_mask,
        previous=previous,
        weights=torch.full((1, config.chunk), weights),
        beta=torch.tensor([beta]),
        prefix_mask=(torch.arange(config.chunk) < prefix)[None],
    )
    return flow, context


def test_velocity_is_the_adaptive_transformers(net_of, scene_of):
    net = net_of("tiny_trunk")
    flow, context = make_flow(net, scene_of(net.config), prefix=3)
    got = net.velocity(flow.x, flow.tau, context, flow.arm_mask, flow.prefix_mask)
    given = flow.prefix_mask[0].numpy()
    want = numpy_velocity(net, flow.x[0].double().numpy(), float(flow.tau), context, given)
    assert np.abs(want).max() > 0.1
    assert np.allclose(got[0].numpy(), want, atol=2e-5)


def test_an_euler_step_moves_by_dt_times_velocity(net_of, scene_of):
    net = net_of("tiny_trunk")
    flow, context = make_flow(net, scene_of(net.config))
    velocity = net.velocity(flow.x, flow.tau, context, flow.arm_mask)
    assert torch.equal(net.step(flow), flow.x + 0.2 * velocity)


@pytest.mark.parametrize("tau", [0.0, 0.2, 0.8, 1.0])
def test_guidance_pulls_the_heading_towards_the_previous_chunk(net_of, scene_of, tau):
    net = net_of("tiny_trunk")
    flow, context = make_flow(net, scene_of(net.config), tau=tau, weights=0.7)
    x, previous = flow.x.double().numpy(), flow.previous.double().numpy()
    v = net.velocity(flow.x, flow.tau, context, flow.arm_mask).double().numpy()
    gain = min(5.0, (tau**2 + (1 - tau) ** 2) / (tau * (1 - tau) + net.config.expert.guidance_eps))
    want = x + 0.2 * (v + gain * 0.7 * (previous - (x + (1 - tau) * v)))
    assert np.allclose(net.step(flow).numpy(), want, atol=1e-5)


def test_guidance_weight_is_bounded_by_beta():
    tau = torch.linspace(0, 1, 11)
    gains = guidance_weight(tau, torch.full((11,), 2.5), 1e-3)
    assert gains.max() == 2.5
    assert torch.isclose(gains[5], torch.tensor(0.5 / 0.251))


def test_weights_of_zero_are_exactly_no_guidance(net_of, scene_of):
    net = net_of("tiny_trunk")
    flow, _ = make_flow(net, scene_of(net.config), weights=0.0)
    assert torch.equal(net.step(flow), net.step(flow._replace(previous=flow.previous * -9.0, beta=flow.beta * 0)))


def test_given_steps_repeat_the_previous_chunk_and_steer_the_rest(net_of, scene_of):
    net = net_of("tiny_trunk")
    flow, _ = make_flow(net, scene_of(net.config), prefix=4)
    after = net.step(flow)
    assert torch.equal(after[:, :4], flow.previous[:, :4])
    assert torch.equal(after, net.step(flow._replace(x=torch.where(flow.prefix_mask[..., None], 99.0, flow.x))))
    assert not torch.allclose(after[:, 4:], net.step(flow._replace(previous=flow.previous + 1.0))[:, 4:])


def test_training_pairs_lie_on_the_line_from_noise_to_data():
    actions, noise = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    at_start, target = interpolate(actions, noise, torch.tensor([0.0, 0.25]))
    assert torch.equal(at_start[0], noise[0])
    assert torch.allclose(at_start[1] + 0.75 * target[1], actions[1], atol=1e-6)
