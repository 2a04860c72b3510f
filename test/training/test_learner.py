"""Stages train what they say and leave the rest as it is; averages follow; a loss that is not finite ends the run."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from drawn_samples import drawn_data, small_recipe  # noqa: E402
from torch.optim.optimizer import register_optimizer_step_pre_hook  # noqa: E402

from vla3d_ros.errors import ConfigError, TrainingError  # noqa: E402
from vla3d_ros.training.averages import AveragedNet  # noqa: E402
from vla3d_ros.training.data import Batches  # noqa: E402
from vla3d_ros.training.device import Device  # noqa: E402
from vla3d_ros.training.learner import Learner  # noqa: E402
from vla3d_ros.training.normalisation import measure_normalisation  # noqa: E402
from vla3d_ros.training.order import pass_generator  # noqa: E402
from vla3d_ros.training.parts import part_of, parts_in, train_only  # noqa: E402
from vla3d_ros.training.recipe import VARIANTS  # noqa: E402
from vla3d_ros.training.tensors import to_tensors  # noqa: E402

CPU = Device("cpu", "fp32")


def batch_for(recipe, size=4):
    data = drawn_data()
    arrays = Batches(data, recipe.network, measure_normalisation(data.source, data.training))(np.arange(size))
    return to_tensors(recipe.network, arrays, "cpu")


def moved_parts(learner, batch, steps=2):
    before = {name: value.clone() for name, value in learner.net.state_dict().items()}
    for number in range(steps):
        learner.add_gradients(batch, pass_generator(0, number))
        learner.step(number)
    after = learner.net.state_dict()
    return {part_of(name) for name, value in before.items() if not torch.equal(value, after[name])}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("stage", [0, 1])
def test_a_stage_moves_exactly_the_parts_it_trains(variant, stage):
    recipe = small_recipe(variant)
    learner = Learner(recipe, CPU)
    learner.enter(recipe.stages[stage])
    assert moved_parts(learner, batch_for(recipe)) == set(recipe.stages[stage].trains)


def test_the_second_stage_leaves_what_the_first_learned_bit_for_bit():
    recipe = small_recipe()
    learner, batch = Learner(recipe, CPU), batch_for(recipe)
    learner.enter(recipe.stages[0])
    moved_parts(learner, batch)
    learner.enter(recipe.stages[1])
    assert moved_parts(learner, batch) == {"completion", "aggregation", "tokens", "expert"}


def test_completion_tokens_exist_only_where_a_stage_wants_them():
    recipe = small_recipe()
    learner, batch = Learner(recipe, CPU), batch_for(recipe)
    shown = {}
    for stage in recipe.stages:
        learner.enter(stage)
        with torch.no_grad():
            shown[stage.name] = learner.net.eval().context(batch.inputs).display["completion_mask"]
    assert not shown["instances"].any()
    assert shown["completion"].shape == shown["instances"].shape


def test_a_part_the_network_does_not_have_can_not_train():
    net = Learner(small_recipe("trunk"), CPU).net
    assert parts_in(net) == {"trunk", "expert"}
    with pytest.raises(ConfigError, match="completion"):
        train_only(net, ("expert", "completion"))
    with pytest.raises(ConfigError, match="no part trains"):
        train_only(net, ())


def test_an_average_follows_its_network_by_the_share_it_is_told():
    net = Learner(small_recipe("trunk"), CPU).net
    average = AveragedNet(net, 0.9)
    start = [value.clone() for value in average.net.parameters()]
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1.0)
    average.follow(net)
    for before, after in zip(start, average.net.parameters(), strict=True):
        torch.testing.assert_close(after, before + 0.1)
        assert not after.requires_grad


def test_a_teacher_exists_only_while_the_memory_it_copies_moves():
    moving = small_recipe(stages=[{"trains": ["trunk", "fusion", "completion"], "losses": {"self_supervision": 1.0}}])
    frozen = small_recipe()
    for recipe, stage, is_taught in ((moving, 0, True), (frozen, 1, False)):
        learner = Learner(recipe, CPU)
        learner.enter(recipe.stages[stage])
        assert any(name.startswith("teacher/") for name in learner.tensors()) is is_taught


def test_a_teacher_lags_behind_its_student():
    recipe = small_recipe(stages=[{"trains": ["trunk", "fusion", "completion"], "losses": {"self_supervision": 1.0}}])
    learner = Learner(recipe, CPU)
    learner.enter(recipe.stages[0])
    name = "trunk.visual_projector.weight"
    start = learner.net.state_dict()[name].clone()
    moved_parts(learner, batch_for(recipe), steps=1)
    kept = learner.tensors()
    torch.testing.assert_close(kept[f"teacher/{name}"], start + 0.001 * (kept[f"net/{name}"] - start))


def test_gradients_are_clipped_to_the_norm_of_the_recipe():
    recipe = small_recipe(optimiser={"clip": 0.01})
    learner, batch = Learner(recipe, CPU), batch_for(recipe)
    learner.enter(recipe.stages[0])
    learner.add_gradients(batch, pass_generator(0, 0))
    norms = []
    hook = register_optimizer_step_pre_hook(
        lambda optimiser, *_: norms.append(
            torch.cat(
                [p.grad.flatten() for g in optimiser.param_groups for p in g["params"] if p.grad is not None]
            ).norm()
        )
    )
    try:
        assert learner.step(0) > 0.01
    finally:
        hook.remove()
    assert float(norms[0]) == pytest.approx(0.01, rel=1e-3)


def test_a_loss_that_is_not_finite_ends_the_run_with_its_terms():
    recipe = small_recipe()
    learner, batch = Learner(recipe, CPU), batch_for(recipe)
    learner.enter(recipe.stages[0])
    with pytest.raises(TrainingError, match=r"flow.*nan"):
        learner.add_gradients(batch._replace(actions=batch.actions * torch.nan), pass_generator(0, 0))


def test_losses_of_the_route_need_the_route_and_the_truth():
    recipe = small_recipe()
    learner, batch = Learner(recipe, CPU), batch_for(recipe)
    learner.enter(recipe.stages[0])
    with pytest.raises(ConfigError, match="truth"):
        learner.add_gradients(batch._replace(targets=None), pass_generator(0, 0))
