"""The predictor: what it is asked (Eq. 7-8), what it may look at, and what training hides from it."""

import numpy as np
import torch
from box_scene import cameras_at, look_at, route_features, route_inputs
from float64_layers import linear, mlp, shaken, weights_of

from vla3d_ros.policy.nets.presets import preset
from vla3d_ros.policy.nets.route_configs import Vla3dConfig
from vla3d_ros.policy.nets.vla3d import Vla3dRoute
from vla3d_ros.policy.nets.vla3d.completion import CompletionPredictor, Placed
from vla3d_ros.policy.nets.vla3d.rope3d import Rope3d

RNG = np.random.default_rng(17)
CONFIG = Vla3dConfig(width=24, heads=2, mlp_ratio=2.0, fourier_frequencies=3, completion_blocks=2)


def tensor(array):
    return torch.tensor(array, dtype=torch.float32)


def placed(count, known=None):
    mask = np.ones((1, count), dtype=bool) if known is None else np.array([known])
    return Placed(
        tensor(RNG.uniform(-1, 1, (1, count, 3))), tensor(RNG.normal(size=(1, count, 24))), torch.tensor(mask)
    )


def predictor():
    torch.manual_seed(0)
    return shaken(CompletionPredictor(CONFIG), scale=0.1), Rope3d(12, base=1e4, scale_per_m=10.0)


class Overheard(torch.nn.Module):
    """Stands in for a block and keeps what it was given."""

    def forward(self, queries, context, rotations, masks):
        self.queries, self.context = queries.detach(), context.detach()
        return queries


def test_context_and_queries_get_position_and_view_by_equations_7_and_8():
    net, rope = predictor()
    net.blocks = torch.nn.ModuleList([Overheard()])
    visible, asked = placed(5), placed(3)
    context = RNG.normal(size=(1, 5, 24))
    net(tensor(context), visible, asked, rope)
    w = weights_of(net)

    def fourier(p):
        waves = [f(2.0**k * np.pi * p) for k in range(3) for f in (np.sin, np.cos)]
        return linear(np.concatenate([p, *waves], axis=-1), w, "position.project")

    heard = net.blocks[0]
    expected = context + fourier(visible.points.numpy().astype(float)) + visible.view.numpy()
    np.testing.assert_allclose(heard.context, expected, atol=1e-5)
    expected = w["target"] + fourier(asked.points.numpy().astype(float)) + asked.view.numpy()
    np.testing.assert_allclose(heard.queries, expected, atol=1e-5)


def test_each_block_attends_across_before_among():
    net, rope = predictor()
    order = []
    net.blocks[0].across.register_forward_hook(lambda *_: order.append("across"))
    net.blocks[0].among.register_forward_hook(lambda *_: order.append("among"))
    net(torch.randn(1, 5, 24), placed(5), placed(3), rope)
    assert order == ["across", "among"]


def test_hidden_context_and_empty_queries_change_no_prediction():
    net, rope = predictor()
    visible, asked = placed(6, [True] * 4 + [False] * 2), placed(5, [True] * 3 + [False] * 2)
    context = torch.randn(1, 6, 24)
    with torch.no_grad():
        before = net(context, visible, asked, rope)
        context[:, 4:], visible.points[:, 4:], asked.points[:, 3:] = 50.0, -3.0, 7.0
        after = net(context, visible, asked, rope)
    np.testing.assert_array_equal(before[:, :3], after[:, :3])


def test_the_view_embedding_knows_the_pose_and_not_the_slot():
    net, _ = predictor()
    poses = [look_at([0.6, 0.0, 0.5], [0.0, 0.0, 0.0]), look_at([-0.4, 0.3, 0.6], [0.0, 0.0, 0.0])]
    here, swapped = (net.view(cameras_at(order)).detach() for order in (poses, poses[::-1]))
    np.testing.assert_allclose(here[0, 0], swapped[0, 1], atol=1e-6)
    assert (here[0, 0] - here[0, 1]).abs().max() > 1e-2
    expected = mlp(np.stack(poses)[:, :3].reshape(2, 12), weights_of(net), "view.embed")
    np.testing.assert_allclose(here[0], expected, atol=1e-5)


def hidden_half(config):
    hidden = torch.zeros(1, len(config.views), config.grid[0] * config.grid[1], dtype=torch.bool)
    hidden[:, 0, ::2] = True
    return hidden, hidden.flatten(1).nonzero()[:, 1][None]


def test_hidden_tokens_are_predicted_from_the_others_alone():
    config = preset("tiny_vla3d")
    torch.manual_seed(0)
    route = shaken(Vla3dRoute(config), scale=0.05)
    features, inputs = route_features(config), route_inputs(config)
    hidden, index = hidden_half(config)
    with torch.no_grad():
        before, known = route.reconstruct(features, inputs, hidden, index)
        other = features._replace(tokens=torch.where(hidden.unsqueeze(-1), features.tokens + 9.0, features.tokens))
        after, _ = route.reconstruct(other, inputs, hidden, index)
        shown = features._replace(tokens=torch.where(hidden.unsqueeze(-1), features.tokens, features.tokens + 9.0))
        changed, _ = route.reconstruct(shown, inputs, hidden, index)
    assert before.shape == (1, index.shape[1], config.vla3d.width)
    assert known.all()
    np.testing.assert_array_equal(before, after)
    assert (before - changed).abs().max() > 1e-3


def test_a_teacher_remembers_what_the_student_does_not_see():
    config = preset("tiny_vla3d")
    torch.manual_seed(0)
    route = Vla3dRoute(config).eval()
    features, inputs = route_features(config), route_inputs(config)
    hidden, _ = hidden_half(config)
    with torch.no_grad():
        whole, half = route.remember(features, inputs), route.remember(features, inputs, hidden)
    assert whole.mask.all()
    np.testing.assert_array_equal(half.mask, ~hidden)
    np.testing.assert_array_equal(whole.places.points, half.places.points)
    assert (whole.tokens - half.tokens).abs().max() > 1e-3
