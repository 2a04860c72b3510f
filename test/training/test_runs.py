"""Whole runs on drawn scenes: killed and resumed is uninterrupted, bit for bit; eight samples are learned by heart."""

import dataclasses
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from drawn_samples import RECIPE, drawn_data, small_recipe  # noqa: E402

from vla3d_ros.errors import TrainingError  # noqa: E402
from vla3d_ros.training.checkpoint import latest_checkpoint  # noqa: E402
from vla3d_ros.training.journal import Entry, Journal  # noqa: E402
from vla3d_ros.training.trainer import CHECKPOINTS, JOURNAL, Trainer  # noqa: E402


class KilledError(Exception):
    pass


def kill_at(step):
    def watch(entry: Entry) -> None:
        if entry.step == step and entry.kind == "training":
            raise KilledError

    return watch


def ignore(entry: Entry) -> None:
    pass


def trained(folder, recipe, data, *kills):
    """Run in a folder, killed at some steps and resumed each time."""
    folder.mkdir()
    trainer = Trainer(recipe, data, folder)
    for step in kills:
        with pytest.raises(KilledError):
            trainer.run(kill_at(step))
        trainer = Trainer(recipe, data, folder)
        trainer.resume()
        assert trainer.step < step
    trainer.run(ignore)
    return trainer


def outcome(trainer, folder):
    return trainer.learner.tensors(), list(Journal(folder / JOURNAL).entries())


RUNS = {
    "two stages, killed in both": ({}, (5, 8)),
    "killed between the stages": ({"watch": {"checkpoint_every": 4}}, (5,)),
    "average of weights, two passes a step": ({"optimiser": {"average": 0.9, "accumulate": 2, "batch": 3}}, (7,)),
    "a teacher that moves": (
        {"stages": [dict(RECIPE["stages"][1], trains=["trunk", "fusion", "completion", "expert"], steps=6)]},
        (5,),
    ),
    "trunk alone, validated on the way": ({"variant": "trunk", "watch": {"validate_every": 2}}, (5,)),
}


@pytest.mark.parametrize("case", RUNS)
def test_killed_and_resumed_is_the_same_as_uninterrupted_bit_for_bit(tmp_path, case):
    changes, kills = RUNS[case]
    recipe, data = small_recipe(**changes), drawn_data()
    whole = outcome(trained(tmp_path / "whole", recipe, data), tmp_path / "whole")
    killed = outcome(trained(tmp_path / "killed", recipe, data, *kills), tmp_path / "killed")
    assert whole[0].keys() == killed[0].keys()
    for name, value in whole[0].items():
        assert torch.equal(value, killed[0][name]), name
    assert whole[1] == killed[1]
    assert len([entry for entry in whole[1] if entry.kind == "training"]) == recipe.steps


def test_another_seed_gives_another_run(tmp_path):
    data = drawn_data()
    nets = [trained(tmp_path / str(seed), small_recipe(seed=seed), data).learner.tensors() for seed in (0, 1)]
    assert not torch.equal(nets[0]["net/expert.out.weight"], nets[1]["net/expert.out.weight"])


def test_a_run_is_not_continued_with_something_else(tmp_path):
    recipe, data = small_recipe(), drawn_data()
    trained(tmp_path / "run", recipe, data)
    other = dataclasses.replace(data, sha256="other")
    for what, (changed, demonstrations) in {
        "recipe_sha256": (small_recipe(seed=9), data),
        "data_sha256": (recipe, other),
    }.items():
        with pytest.raises(TrainingError, match=what):
            Trainer(changed, demonstrations, tmp_path / "run").resume()


def test_a_run_without_a_checkpoint_says_so(tmp_path):
    with pytest.raises(TrainingError, match="no checkpoint"):
        Trainer(small_recipe(), drawn_data(), tmp_path).resume()


def test_a_damaged_checkpoint_is_refused(tmp_path):
    trained(tmp_path / "run", small_recipe(), drawn_data())
    checkpoint = latest_checkpoint(tmp_path / "run" / CHECKPOINTS)
    (checkpoint / "tensors.safetensors").write_bytes(b"no tensors")
    with pytest.raises(TrainingError, match="can not be read"):
        Trainer(small_recipe(), drawn_data(), tmp_path / "run").resume()


def test_a_checkpoint_that_was_half_written_is_not_found(tmp_path):
    trained(tmp_path / "run", small_recipe(), drawn_data())
    checkpoints = tmp_path / "run" / CHECKPOINTS
    shutil.copytree(latest_checkpoint(checkpoints), checkpoints / ".step_0000099.draft")
    trainer = Trainer(small_recipe(), drawn_data(), tmp_path / "run")
    trainer.resume()
    assert trainer.step == small_recipe().steps


def test_eight_samples_are_learned_by_heart(tmp_path):
    first = dict(RECIPE["stages"][0], steps=100, peak_rate=0.003, warmup_steps=10)
    recipe = small_recipe("instances", stages=[first], optimiser={"batch": 8, "flow_draws": 4})
    data = drawn_data(8, 0)
    data = dataclasses.replace(data, held_out=data.training)
    (tmp_path / "run").mkdir()
    trainer = Trainer(recipe, data, tmp_path / "run")
    before = trainer.validate()
    losses: list[dict[str, float]] = []
    trainer.run(lambda entry: losses.append(dict(entry.figures)))
    names = ("flow", "instances", "depth")
    start, end = ({name: np.mean([one[name] for one in part]) for name in names} for part in (losses[:5], losses[-5:]))
    assert end["flow"] < 0.35 * start["flow"]
    assert end["instances"] < 0.6 * start["instances"]
    assert end["depth"] < 0.6 * start["depth"]
    assert trainer.validate()["position_mm"] < 0.6 * before["position_mm"]
