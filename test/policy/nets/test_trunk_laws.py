"""Laws every route must obey: what is masked does not exist, views have no number, seeds decide."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'vla3d_ros[nets]'")

import torch

from vla3d_ros.policy.nets.building import build_net, build_untrained_net
from vla3d_ros.policy.nets.modality_drop import ModalityDrop, sample_modality_drop

ROUTES = ["tiny_trunk", "tiny_vla3d", "tiny_gear", "tiny_vipa", "tiny_think3d"]
BY_VIEW = ("images", "view_mask", "K", "T_base_camera", "depth_m")


@pytest.fixture(params=ROUTES)
def net(request, net_of):
    return net_of(request.param)


@pytest.fixture
def scene(net, scene_of):
    return scene_of(net.config)


def of_view(scene, change):
    given = [name for name in BY_VIEW if getattr(scene, name) is not None]
    return scene._replace(**{name: change(getattr(scene, name)) for name in given})


def test_order_of_views_does_not_matter(net, scene, chunk_of):
    turned = of_view(scene, lambda tensor: tensor[:, [2, 0, 1]])
    assert torch.allclose(chunk_of(net, turned), chunk_of(net, scene), atol=2e-5)


def test_a_masked_view_may_show_anything(net, scene, chunk_of):
    hidden = scene._replace(view_mask=torch.tensor([[True, False, True]]))
    images = hidden.images.clone()
    images[:, 1] = 255 - images[:, 1]
    assert torch.equal(chunk_of(net, hidden._replace(images=images)), chunk_of(net, hidden))
    assert not torch.allclose(chunk_of(net, hidden), chunk_of(net, scene), atol=1e-5)


def test_a_view_that_is_there_matters(net, scene, chunk_of):
    images = scene.images.clone()
    images[:, 1] = 255 - images[:, 1]
    assert not torch.allclose(chunk_of(net, scene._replace(images=images)), chunk_of(net, scene), atol=1e-5)


def test_a_masked_state_may_be_anything(net, scene, chunk_of):
    unknown = scene._replace(state_mask=torch.tensor([[True, False]]))
    state = unknown.state.clone()
    state[:, 1] = 1e3
    assert torch.equal(chunk_of(net, unknown._replace(state=state)), chunk_of(net, unknown))
    state = unknown.state.clone()
    state[:, 0] += 1.0
    assert not torch.allclose(chunk_of(net, unknown._replace(state=state)), chunk_of(net, unknown), atol=1e-5)


def test_padding_words_may_be_anything(net, scene, chunk_of):
    tokens = torch.where(scene.text_mask, scene.text_tokens, 17)
    assert torch.equal(chunk_of(net, scene._replace(text_tokens=tokens)), chunk_of(net, scene))
    words = (scene.text_tokens + 1) % net.config.text.buckets
    assert not torch.allclose(chunk_of(net, scene._replace(text_tokens=words)), chunk_of(net, scene), atol=1e-5)


def test_a_masked_arm_is_neither_seen_nor_moved(net, scene):
    alone = scene._replace(arm_mask=torch.tensor([[True, False]]))
    context = net.context(alone)
    x = torch.randn(1, net.config.chunk, net.config.action_width)
    velocity = net.velocity(x, torch.tensor([0.3]), context, alone.arm_mask)
    other = torch.cat([x[..., :10], x[..., 10:] + 50.0], dim=-1)
    assert torch.equal(net.velocity(other, torch.tensor([0.3]), context, alone.arm_mask), velocity)
    assert (velocity[..., 10:] == 0).all()
    assert (velocity[..., :10] != 0).any()


def test_losing_everything_still_gives_finite_actions(net, scene, chunk_of):
    blind = scene._replace(
        view_mask=scene.view_mask & False, state_mask=scene.state_mask & False, text_mask=scene.text_mask & False
    )
    assert torch.isfinite(chunk_of(net, blind)).all()


def test_route_off_is_the_trunk_to_the_last_bit(net, scene, chunk_of):
    plain = dataclasses.replace(net.config, route="trunk", **dict.fromkeys(("vla3d", "gear", "vipa", "think3d"), None))
    trunk = build_net(plain, seed=99)
    weights = net.state_dict()
    trunk.load_state_dict({name: weights[name] for name in trunk.state_dict()})
    assert torch.equal(chunk_of(net.without_route(), scene), chunk_of(trunk, scene))
    if net.config.route != "trunk":
        assert not torch.allclose(chunk_of(net, scene), chunk_of(trunk, scene), atol=1e-5)


def test_seeds_decide(net, scene, chunk_of):
    assert torch.equal(chunk_of(net, scene, seed=1), chunk_of(net, scene, seed=1))
    assert not torch.allclose(chunk_of(net, scene, seed=1), chunk_of(net, scene, seed=2), atol=1e-2)


def test_the_same_seed_builds_the_same_network(net):
    again = build_untrained_net(net.config, 3).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in net.state_dict().items())


def test_a_batch_is_its_samples(net, scene_of, chunk_of):
    scenes = [scene_of(net.config, seed) for seed in (5, 6)]
    both = type(scenes[0])(*(None if a is None else torch.cat([a, b]) for a, b in zip(*scenes, strict=True)))
    contexts = [net.context(scene) for scene in (*scenes, both)]
    for index in range(2):
        assert torch.allclose(contexts[2].context_k[index], contexts[index].context_k[0], atol=2e-5)
        assert torch.allclose(contexts[2].condition[index], contexts[index].condition[0], atol=2e-5)


def test_each_embodiment_has_its_own_projector(net, scene, chunk_of):
    other = scene._replace(embodiment=scene.embodiment + 1)
    assert not torch.allclose(chunk_of(net, other), chunk_of(net, scene), atol=1e-5)
    blind, blind_other = (one._replace(state_mask=one.state_mask & False) for one in (scene, other))
    assert torch.equal(chunk_of(net, blind_other), chunk_of(net, blind)), "nothing but the projector knows the robot"


def test_a_dropped_modality_is_hidden_from_queries_and_expert(net, scene):
    everything = net.context(scene)
    nothing = ModalityDrop(torch.zeros_like(scene.view_mask), torch.zeros_like(scene.state_mask))
    assert torch.equal(net.context(scene, nothing).context_k, everything.context_k)
    dropped = net.context(scene, ModalityDrop(torch.tensor([[False, True, True]]), scene.state_mask))
    if net.config.route in ("trunk", "vla3d"):
        tokens = net.config.grid[0] * net.config.grid[1]
        lost = everything.context_mask & ~dropped.context_mask
        assert lost.sum() == 2 * tokens + 2
        assert lost[0, tokens : 3 * tokens].all()
    else:
        assert not torch.allclose(dropped.context_k, everything.context_k, atol=1e-5)


def test_dropping_follows_the_papers_probabilities(tiny):
    config = tiny("tiny_trunk")
    drop = sample_modality_drop(config, 20000, torch.Generator().manual_seed(0))
    wrist, state = drop.views[:, 1], drop.states[:, 0]
    assert not drop.views[:, 0].any(), "the head view is never dropped"
    assert torch.equal(drop.views[:, 1], drop.views[:, 2])
    shares = [wrist & ~state, ~wrist & state, wrist & state, ~wrist & ~state]
    found = [float(share.float().mean()) for share in shares]
    assert np.allclose(found, [0.2, 0.2, 0.2, 0.4], atol=0.015)
