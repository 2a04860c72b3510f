"""The route as a whole: what may not matter does not, what must matter does, and its size."""

import dataclasses

import numpy as np
import pytest
import torch
from box_scene import route_features, route_inputs
from float64_layers import shaken

from vla3d_ros.errors import ConfigError
from vla3d_ros.policy.nets.presets import preset
from vla3d_ros.policy.nets.vla3d import Vla3dRoute
from vla3d_ros.policy.nets.vla3d.sizes import PAPER_PARAMETERS, parameters_by_module

CONFIG = preset("tiny_vla3d")


def built(config=CONFIG, seed=0, **changes):
    config = dataclasses.replace(config, vla3d=dataclasses.replace(config.vla3d, **changes))
    torch.manual_seed(seed)
    return shaken(Vla3dRoute(config), seed, scale=0.08), config


def run(route, features, inputs):
    with torch.no_grad():
        return route(features, inputs)


def filled(output):
    """Return what stands in the filled slots, in an order that does not depend on the slots'."""
    found = {}
    for kind in ("instance", "completion"):
        mask = output.display[f"{kind}_mask"][0]
        points = output.display[f"{kind}_points"][0][mask].numpy()
        first = 0 if kind == "instance" else len(output.display["instance_mask"][0])
        tokens = output.extra_tokens[0, first : first + len(mask)][mask].numpy()
        order = np.lexsort(np.round(points, 4).T)
        found[kind] = points[order], tokens[order]
    return found


def assert_same_slots(one, other, atol):
    for kind, (points, tokens) in filled(one).items():
        assert len(points) > 2
        np.testing.assert_allclose(filled(other)[kind][0], points, atol=1e-4)
        np.testing.assert_allclose(filled(other)[kind][1], tokens, atol=atol)


@pytest.mark.parametrize("seed", range(3))
def test_permuting_the_views_changes_nothing(seed):
    route, config = built(seed=seed)
    features, inputs = route_features(config, seed), route_inputs(config, seed)
    order = torch.tensor([2, 0, 1])
    permuted = inputs._replace(
        **{name: getattr(inputs, name)[:, order] for name in ("images", "view_mask", "K", "T_base_camera", "depth_m")}
    )
    shuffled = features._replace(tokens=features.tokens[:, order], token_mask=features.token_mask[:, order])
    assert_same_slots(run(route, features, inputs), run(route, shuffled, permuted), atol=2e-3)


def with_view_masked(features, inputs, view):
    mask = inputs.view_mask.clone()
    mask[:, view] = False
    tokens = torch.where(mask[:, :, None, None], features.tokens, 0.0)
    return features._replace(tokens=tokens, token_mask=mask[:, :, None] & features.token_mask), inputs._replace(
        view_mask=mask
    )


def test_a_masked_view_may_hold_anything():
    route, config = built()
    features, inputs = with_view_masked(route_features(config), route_inputs(config), 1)
    spoilt = inputs._replace(
        K=inputs.K.clone(), T_base_camera=inputs.T_base_camera.clone(), depth_m=inputs.depth_m.clone()
    )
    spoilt.K[:, 1], spoilt.T_base_camera[:, 1], spoilt.depth_m[:, 1] = torch.nan, torch.inf, torch.nan
    tokens = features.tokens.clone()
    tokens[:, 1] = torch.nan
    clean, dirty = run(route, features, inputs), run(route, features._replace(tokens=tokens), spoilt)
    np.testing.assert_array_equal(clean.extra_tokens, dirty.extra_tokens)
    np.testing.assert_array_equal(clean.extra_mask, dirty.extra_mask)
    for name, shown in clean.display.items():
        np.testing.assert_array_equal(shown, dirty.display[name])


def test_a_masked_view_is_as_if_it_did_not_exist():
    route, config = built()
    features, inputs = with_view_masked(route_features(config), route_inputs(config), 2)
    two = features._replace(tokens=features.tokens[:, :2], token_mask=features.token_mask[:, :2])
    names = ("images", "view_mask", "K", "T_base_camera", "depth_m")
    without = inputs._replace(**{name: getattr(inputs, name)[:, :2] for name in names})
    assert_same_slots(run(route, features, inputs), run(route, two, without), atol=2e-3)


def test_no_view_at_all_leaves_every_slot_empty_and_finite():
    route, config = built()
    features, inputs = route_features(config), route_inputs(config)
    for view in range(len(config.views)):
        features, inputs = with_view_masked(features, inputs, view)
    output = run(route, features, inputs)
    assert not output.extra_mask.any()
    assert not output.extra_tokens.any()
    assert all(shown.float().isfinite().all() for shown in output.display.values())


def test_the_trunks_own_tokens_pass_untouched():
    route, config = built()
    features = route_features(config)
    assert run(route, features, route_inputs(config)).visual_tokens is features.tokens


def test_empty_slots_are_zero_and_full_ones_are_not():
    route, config = built(score_threshold=0.12)
    output = run(route, route_features(config), route_inputs(config))
    assert 0 < output.extra_mask.sum() < output.extra_mask.numel()
    assert not output.extra_tokens[~output.extra_mask].any()
    assert (output.extra_tokens[output.extra_mask].abs().amax(dim=-1) > 0).all()
    assert not output.display["instance_points"][~output.display["instance_mask"]].any()


def test_depth_moves_the_tokens():
    route, config = built()
    features, inputs = route_features(config), route_inputs(config)
    nearer = inputs._replace(depth_m=inputs.depth_m * 0.8)
    difference = run(route, features, inputs).extra_tokens - run(route, features, nearer).extra_tokens
    assert difference.abs().max() > 1e-3


def test_an_absent_arm_may_stand_anywhere_and_a_present_one_matters():
    route, config = built()
    features, inputs = route_features(config), route_inputs(config)
    alone = inputs._replace(arm_mask=torch.tensor([[True, False]]))
    left, right = (alone._replace(T_base_ee=alone.T_base_ee.clone()) for _ in range(2))
    left.T_base_ee[:, 0, 0, 3] += 0.1
    right.T_base_ee[:, 1] = torch.nan
    before = run(route, features, alone).extra_tokens
    np.testing.assert_array_equal(before, run(route, features, right).extra_tokens)
    assert (before - run(route, features, left).extra_tokens).abs().max() > 1e-3


def test_losing_an_arms_state_is_like_losing_its_place():
    route, config = built()
    features, inputs = route_features(config), route_inputs(config)
    lost = run(route, features, inputs._replace(state_mask=torch.tensor([[True, False]]))).extra_tokens
    absent = run(route, features, inputs._replace(arm_mask=torch.tensor([[True, False]]))).extra_tokens
    np.testing.assert_array_equal(lost, absent)


@pytest.mark.parametrize("token_depth", ["aligned", "predicted", "aligned_or_predicted"])
@pytest.mark.parametrize("proposal", ["mirror", "extrude", "learned"])
def test_every_kind_of_depth_and_proposal_fills_slots(token_depth, proposal):
    route, config = built(token_depth=token_depth, proposal=proposal)
    inputs = route_inputs(config)
    if token_depth == "predicted":
        inputs = inputs._replace(depth_m=None)
    output = run(route, route_features(config), inputs)
    assert output.display["instance_mask"].any()
    assert output.display["completion_mask"].any()
    assert output.extra_tokens.isfinite().all()


def test_a_batch_is_its_members_side_by_side():
    route, config = built()
    features, inputs = route_features(config, batch=2), route_inputs(config, batch=2)
    both = run(route, features, inputs)
    for row in range(2):
        one = type(inputs)(*(None if value is None else value[row : row + 1] for value in inputs))
        alone = run(
            route,
            features._replace(tokens=features.tokens[row : row + 1], token_mask=features.token_mask[row : row + 1]),
            one,
        )
        np.testing.assert_array_equal(both.extra_mask[row], alone.extra_mask[0])
        np.testing.assert_allclose(both.extra_tokens[row], alone.extra_tokens[0], atol=2e-4)


def test_training_gets_what_its_losses_compare_and_inference_does_not():
    route, config = built(decoder_layers=2)
    features, inputs = route_features(config, batch=2), route_inputs(config, batch=2)
    assert route(features, inputs).aux == {}
    aux = route.train()(features, inputs).aux
    settings, views, tokens = config.vla3d, len(config.views), config.grid[0] * config.grid[1]
    probes, cells = settings.probes, (4 * config.grid[0], 4 * config.grid[1])
    expected = {
        "layer_class_logits": (2, 2, probes, settings.classes),
        "layer_points": (2, 2, probes, 3),
        "layer_boxes": (2, 2, views, probes, 4),
        "layer_mask_logits": (2, 2, views, probes, *cells),
        "layer_visible": (2, 2, views, probes),
        "depth_logits": (2, views, tokens, settings.depth_bins),
        "memory": (2, views, tokens, settings.width),
        "completion_features": (2, settings.completion_points, settings.width),
    }
    assert {name: tuple(aux[name].shape) for name in expected} == expected


def test_every_parameter_gets_a_finite_gradient():
    route, config = built(proposal="learned")
    with torch.enable_grad():
        output = route.train()(route_features(config), route_inputs(config))
        total = output.extra_tokens.square().sum() + sum(one.float().square().sum() for one in output.aux.values())
        total.backward()
    assert output.extra_mask[:, -config.vla3d.completion_points :].any()
    assert [name for name, parameter in route.named_parameters() if parameter.grad is None] == []
    assert [name for name, parameter in route.named_parameters() if not parameter.grad.isfinite().all()] == []


def test_the_paper_size_has_the_parameters_the_paper_says():
    with torch.device("meta"):
        route = Vla3dRoute(preset("paper"))
    modules = parameters_by_module(route)
    assert sum(modules.values()) == sum(parameter.numel() for parameter in route.parameters())
    assert abs(sum(modules.values()) / PAPER_PARAMETERS - 1.0) <= 0.1
    assert all(size > 0 for name, size in modules.items() if name != "point proposal")
    settings = preset("paper").vla3d
    assert (settings.probes, settings.instances, settings.occluded_instances, settings.points_per_instance) == (
        300,
        16,
        6,
        5,
    )


def test_a_config_without_the_routes_section_is_refused():
    with pytest.raises(ConfigError, match="needs a section 'vla3d'"):
        Vla3dRoute(preset("tiny_trunk"))


def test_a_config_says_everything_that_contradicts():
    with pytest.raises(ConfigError) as caught:
        dataclasses.replace(
            CONFIG,
            vla3d=dataclasses.replace(
                CONFIG.vla3d, proposal="guess", token_depth="lidar", neighbours=31, mask_threshold=1.0, heads=16
            ),
        )
    for word in ("guess", "lidar", "neighbours", "mask_threshold", "a head is 4 wide"):
        assert word in str(caught.value)


def test_completion_switched_off_empties_its_slots_and_unrouted_instances_do_not_notice():
    route, config = built(routes=False)
    features, inputs = route_features(config), route_inputs(config)
    whole = run(route, features, inputs)
    route.completes = False
    without = run(route, features, inputs)
    assert whole.display["completion_mask"].any()
    assert not without.display["completion_mask"].any()
    assert not without.display["completion_points"].any()
    count = config.vla3d.instances
    np.testing.assert_array_equal(without.extra_tokens[:, :count], whole.extra_tokens[:, :count])
    assert not without.extra_tokens[:, count:].any()


def test_routing_is_what_lets_completion_points_reach_the_instances():
    route, config = built()
    features, inputs = route_features(config), route_inputs(config)
    whole = run(route, features, inputs)
    route.routes = False
    count = config.vla3d.instances
    assert not np.allclose(run(route, features, inputs).extra_tokens[:, :count], whole.extra_tokens[:, :count])


def test_what_is_not_wanted_is_not_built_and_can_not_be_asked_for():
    route, config = built(completes=False, routes=False)
    assert not any(name.startswith(("occlusion", "gate", "local_context")) for name, _ in route.named_parameters())
    features, inputs = route_features(config), route_inputs(config)
    assert run(route, features, inputs).extra_tokens.shape[1] == config.vla3d.instances + config.vla3d.completion_points
    hidden = torch.zeros_like(features.token_mask)
    with pytest.raises(ConfigError, match="no predictor"):
        route.reconstruct(features, inputs, hidden, torch.zeros(1, 1, dtype=torch.int64))
    with pytest.raises(ConfigError, match="'routes' needs 'completes'"):
        built(completes=False)
