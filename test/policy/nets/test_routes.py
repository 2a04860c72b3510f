"""What distinguishes the routes gear, vipa and think3d, against formulas in float64."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'vla3d_ros[nets]'")

import torch

from vla3d_ros.policy.nets.building import build_net
from vla3d_ros.policy.nets.context_transformer import visibility
from vla3d_ros.policy.nets.features import VisualFeatures


def double(*tensors):
    return [tensor.detach().double().numpy() for tensor in tensors]


def numpy_layer_norm(x, norm):
    weight, bias = double(norm.weight, norm.bias)
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + norm.eps) * weight + bias


def numpy_cross_attention(module, queries, memory):
    (wq, bq), (wkv, bkv), (wo, bo) = (double(m.weight, m.bias) for m in (module.query, module.key_value, module.out))
    q = queries @ wq.T + bq
    k, v = np.split(memory @ wkv.T + bkv, 2, axis=-1)
    size = q.shape[-1] // module.heads
    heads = []
    for head in range(module.heads):
        part = slice(head * size, (head + 1) * size)
        scores = q[:, part] @ k[:, part].T / np.sqrt(size)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        heads.append(weights / weights.sum(-1, keepdims=True) @ v[:, part])
    return np.concatenate(heads, axis=-1) @ wo.T + bo


# ---------------------------------------------------------------------------------------------------- gear


def test_gear_starts_exactly_as_the_2d_projector(tiny, scene_of):
    net = build_net(tiny("tiny_gear"), seed=1)
    scene = scene_of(net.config)
    features = net.trunk.see(scene)
    assert torch.equal(net.route(features, scene).visual_tokens, features.tokens)


def test_gear_connector_is_one_map_of_both_features(net_of, scene_of):
    net = net_of("tiny_gear")
    scene = scene_of(net.config)
    flat = net.trunk.image_encoder(scene.images[0])
    spatial = net.route.spatial_encoder(scene.images, scene.view_mask)[0]
    h_2d, h_3d, w_2d, b, w_3d = double(
        flat, spatial, net.trunk.visual_projector.weight, net.trunk.visual_projector.bias, net.route.connector.weight
    )
    want = np.concatenate([h_2d, h_3d], axis=-1) @ np.concatenate([w_2d.T, w_3d.T], axis=0) + b
    got = net.route(net.trunk.see(scene), scene).visual_tokens[0]
    assert np.abs(h_3d @ w_3d.T).max() > 0.1
    assert np.allclose(got.numpy(), want, atol=1e-5)


def test_gear_expert_reads_nothing_but_latent_action_tokens(net_of, scene_of):
    net = net_of("tiny_gear")
    scene = scene_of(net.config)
    prefix = net.trunk.prefix(
        net.trunk.see(scene).tokens, net.trunk.see(scene).token_mask, scene, None, has_states=True
    )
    mixed = net._mix(prefix)
    reading = net.bridge.read(mixed, prefix, None)
    disturbed = mixed._replace(prefix=mixed.prefix + 7.0, layers=[layer - 3.0 for layer in mixed.layers])
    again = net.bridge.read(disturbed, prefix, None)
    assert torch.equal(again.tokens, reading.tokens)
    assert torch.equal(again.summary, reading.summary)
    moved = net.bridge.read(mixed._replace(queries=[mixed.queries[0] + 0.1]), prefix, None)
    assert not torch.allclose(moved.tokens, reading.tokens)
    assert net.context(scene).context_k.shape[2] == 4 * 5, "4 codes per transition, 5 transitions a second"


def test_gear_predicts_codes_in_two_groups_of_eight(net_of, scene_of):
    net = net_of("tiny_gear")
    assert net.context(scene_of(net.config)).aux["latent_logits"].shape == (1, 20, 2, 8)


@pytest.mark.parametrize("stops", [True, False])
def test_gear_flow_loss_reaches_the_context_only_if_told(tiny, scene_of, stops):
    config = tiny("tiny_gear")
    net = build_net(dataclasses.replace(config, gear=dataclasses.replace(config.gear, stops_gradient=stops)), seed=1)
    with torch.enable_grad():
        net.context(scene_of(config)).context_k.sum().backward()
    assert (net.bridge.latent.grad is None) == stops
    assert net.expert.context.weight.grad is not None


def test_prompt_frame_matters_only_when_there_is_one(net_of, scene_of, chunk_of):
    net = net_of("tiny_gear")
    scene = scene_of(net.config)
    other = scene._replace(prompt_image=255 - scene.prompt_image)
    assert not torch.allclose(chunk_of(net, other), chunk_of(net, scene), atol=1e-5)
    absent = torch.tensor([False])
    assert torch.equal(
        chunk_of(net, other._replace(prompt_mask=absent)), chunk_of(net, scene._replace(prompt_mask=absent))
    )


# ---------------------------------------------------------------------------------------------------- vipa


def test_vipa_fusion_is_a_norm_of_semantics_plus_alpha_times_found(net_of):
    fusion = net_of("tiny_vipa").route.fusion
    semantic, spatial = torch.randn(1, 9, 64), torch.randn(1, 7, 48)
    got = fusion(semantic, spatial, torch.zeros(1, 1, 1, 7))
    sem, spa, alpha = double(semantic[0], spatial[0], fusion.alpha)
    want = numpy_layer_norm(sem + alpha * numpy_cross_attention(fusion.cross, sem, spa), fusion.norm)
    assert np.allclose(got[0].numpy(), want, atol=1e-5)


def test_vipa_alpha_starts_at_one_half_and_is_learned(tiny):
    alpha = build_net(tiny("tiny_vipa"), seed=1).route.fusion.alpha
    assert alpha.item() == 0.5
    assert alpha.requires_grad


def test_vipa_expert_gets_actions_and_state_side_by_side(net_of, scene_of):
    net = net_of("tiny_vipa")
    context = net.context(scene_of(net.config))
    x = torch.randn(1, net.config.chunk, net.config.action_width)
    arm_mask = torch.ones(1, 2, dtype=torch.bool)
    entered = net.expert.enter(x, arm_mask)
    got, modulation = net.bridge.steer(entered, context.condition)
    embed = net.expert.embed
    actions, state, w_a, b_a, w_s, position = double(
        x[0], context.condition[0], embed.weight, embed.bias, net.bridge.state_input.weight, net.expert.position[0]
    )
    side_by_side = np.concatenate([actions, np.ones((30, 2)), np.tile(state, (30, 1))], axis=-1)
    want = side_by_side @ np.concatenate([w_a.T, w_s.T], axis=0) + b_a + position
    assert np.allclose(got[0].numpy(), want, atol=1e-5)
    assert (modulation == 0).all(), "only the flow time modulates"


def test_vipa_state_does_not_pass_through_the_context(net_of, scene_of):
    net = net_of("tiny_vipa")
    scene = scene_of(net.config)
    other = net.context(scene._replace(state=scene.state + 1.0))
    assert torch.equal(other.context_k, net.context(scene).context_k)
    assert not torch.allclose(other.condition, net.context(scene).condition)


# ------------------------------------------------------------------------------------------------- think3d


def test_think3d_injects_geometry_and_anchor_into_the_action_queries(net_of, scene_of):
    net = net_of("tiny_think3d")
    scene, bridge = scene_of(net.config), net.bridge
    features = net.trunk.see(scene)
    prefix = net.trunk.prefix(features.tokens, features.token_mask, scene, None, has_states=True)
    mixed = net._mix(prefix)
    got = bridge.read(mixed, prefix, None)
    levels = np.concatenate(double(*(value for value in got.aux["geometry"][0])), axis=0)
    normed = numpy_layer_norm(levels, bridge.geometry_norm)
    hidden, anchor, weight, bias = double(
        mixed.queries[1][0, 4:], mixed.queries[0][0], bridge.reasoning.weight, bridge.reasoning.bias
    )
    injected = hidden + numpy_cross_attention(bridge.geometry, hidden, normed) + anchor @ weight.T + bias
    assert np.allclose(got.tokens[0].numpy(), numpy_layer_norm(injected, bridge.norm), atol=1e-5)


def test_think3d_adapters_read_intermediate_states_of_the_views(net_of, scene_of):
    net = net_of("tiny_think3d")
    context = net.context(scene_of(net.config))
    assert context.aux["geometry"].shape == (1, 2, 3 * 36, 48)
    assert context.aux["anchor"].shape == (1, 64)


def test_anchor_stands_between_task_and_action_instruction():
    mask = torch.tensor([[True, True, False]])
    visible = visibility(mask, [1, 2], None)[0]
    task, anchor, action = visible[0], visible[3], visible[4]
    assert task.tolist() == [True, True, False, False, False, False], "the task never sees the anchor"
    assert anchor.tolist() == [True, True, False, True, False, False], "the anchor sees the task, not the action"
    assert action.tolist() == [True, True, False, True, True, True], "the action sees both"


# --------------------------------------------------------------------------------------------- all of them


@pytest.mark.parametrize("name", ["tiny_gear", "tiny_vipa", "tiny_think3d"])
def test_query_tokens_do_not_change_what_the_trunk_computes(net_of, scene_of, name):
    net = net_of(name)
    scene = scene_of(net.config)
    features = net.trunk.see(scene)
    prefix = net.trunk.prefix(features.tokens, features.token_mask, scene, None, has_states=True)
    alone, _ = net.trunk.transformer(prefix.tokens, visibility(prefix.mask, [], None))
    assert torch.allclose(net._mix(prefix).prefix, alone, atol=1e-6)


@pytest.mark.parametrize("name", ["tiny_gear", "tiny_vipa"])
def test_masked_views_leave_a_route_as_zeros(net_of, scene_of, name):
    net = net_of(name)
    scene = scene_of(net.config)._replace(view_mask=torch.tensor([[True, False, True]]))
    features = net.trunk.see(scene)
    assert isinstance(features, VisualFeatures)
    tokens = net.route(features, scene).visual_tokens
    assert (tokens[:, 1] == 0).all()
    assert (tokens[:, 0] != 0).any()
