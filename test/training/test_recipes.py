"""Recipes: what is read, what a variant takes away, what is refused."""

from pathlib import Path

import numpy as np
import pytest
from drawn_samples import RECIPE, small_recipe

from vla3d_ros.errors import ConfigError, TrainingError
from vla3d_ros.resources import config_dir
from vla3d_ros.training.data import split_episodes
from vla3d_ros.training.recipe import VARIANTS
from vla3d_ros.training.recipe_file import find_recipe, load_recipe, recipe_from, recipe_sha256, recipe_to_mapping

SHIPPED = sorted(path for path in (config_dir() / "training").glob("*.yaml") if "demonstrations" not in path.stem)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
@pytest.mark.parametrize("variant", VARIANTS)
def test_shipped_recipes_are_valid_in_every_variant(path, variant):
    recipe = load_recipe(path, variant=variant)
    assert recipe.variant == variant
    assert recipe.steps == load_recipe(path).steps


def test_variants_take_away_what_they_do_not_have_and_keep_the_budget():
    recipes = {variant: small_recipe(variant) for variant in VARIANTS}
    assert recipes["trunk"].network.route == "trunk"
    has = {
        name: (one.network.vla3d.completes, one.network.vla3d.routes)
        for name, one in recipes.items()
        if one.network.vla3d
    }
    assert has == {"instances": (False, False), "completion": (True, False), "routing": (True, True)}
    assert len({tuple(stage.steps for stage in recipe.stages) for recipe in recipes.values()}) == 1
    assert recipes["instances"].stages[1].losses.self_supervision == 0
    assert recipes["trunk"].stages[1].trains == ("trunk", "expert")


def test_a_variant_ships_under_a_name_of_its_own():
    path = find_recipe("vla3d_tabletop_smoke", config_dir() / "training")
    names = [load_recipe(path, variant=variant).name for variant in (None, *VARIANTS)]
    extra = ["", "_trunk", "_instances", "_completion", ""]
    assert names == [f"vla3d_tabletop_smoke{ending}" for ending in extra]


def test_the_trunks_recipe_is_the_whole_ones_without_its_route():
    trunk, whole = (find_recipe(name, config_dir() / "training") for name in ("trunk_tabletop", "vla3d_tabletop"))
    assert recipe_sha256(load_recipe(trunk)) == recipe_sha256(load_recipe(whole, variant="trunk"))


def test_everything_that_is_wrong_is_said_at_once():
    wrong = {
        "seed": "three",
        "network": {"preset": "tiny_vla3d", "changes": {"chunks": 4}},
        "data": {"robot": "drawn", "cameras": {"head": "head"}, "arms": {}},
        "stages": [{"steps": "many", "losses": {"flaw": 1.0}}],
        "optimizer": {},
    }
    with pytest.raises(ConfigError) as caught:
        recipe_from(wrong, "wrong")
    for word in ("seed", "chunks", "demonstrations", "stages[0].steps", "flaw", "optimizer"):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"optimiser": {"clip": 0.0}}, "clip"),
        ({"watch": {"checkpoint_every": 0}}, "checkpoint_every"),
        ({"data": {"cameras": {"nose": "nose"}}}, "nose"),
        ({"stages": [dict(RECIPE["stages"][0])]}, "completes"),
        ({"variant": "everything"}, "everything"),
    ],
)
def test_values_that_can_not_be_are_refused(changes, complaint):
    with pytest.raises(ConfigError, match=complaint):
        small_recipe(**changes)


def test_the_hash_covers_what_decides_the_outcome_and_nothing_else():
    same = small_recipe(watch={"validate_every": 7}, data={"demonstrations": "elsewhere"})
    assert recipe_sha256(same) == recipe_sha256(small_recipe())
    for changes in ({"seed": 4}, {"optimiser": {"clip": 0.4}}, {"variant": "trunk"}):
        assert recipe_sha256(small_recipe(**changes)) != recipe_sha256(small_recipe())


def test_a_written_recipe_says_everything():
    mapping = recipe_to_mapping(small_recipe())
    assert mapping["network"]["vla3d"]["routes"] is True
    assert mapping["optimiser"]["clip"] == 0.5
    assert mapping["optimiser"]["weight_decay"] == 1e-4
    assert mapping["optimiser"]["teacher"] == 0.999


def test_an_unknown_recipe_lists_those_there_are(tmp_path: Path):
    for name in ("one", "two", "demonstrations_small"):
        (tmp_path / f"{name}.yaml").touch()
    with pytest.raises(ConfigError, match=r"expected one of \['one', 'two'\]"):
        find_recipe("three", tmp_path)


def test_held_out_episodes_are_whole_and_the_last_of_each_group():
    episodes = np.repeat([4, 7, 9, 12, 20], 3)
    training, held_out = split_episodes(episodes, 2)
    assert set(episodes[held_out]) == {7, 12}
    assert set(episodes[training]) == {4, 9, 20}
    with pytest.raises(TrainingError, match="at least 6"):
        split_episodes(episodes, 6)
