"""Recipes as YAML: read strictly, written back complete, so that a run's folder says what it did."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import yaml

from vla3d_ros.errors import ConfigError, join_problems
from vla3d_ros.policy.nets.config import PolicyConfig
from vla3d_ros.policy.nets.config_mapping import dataclass_to_mapping, read_dataclass
from vla3d_ros.policy.nets.presets import preset
from vla3d_ros.training.loss_weights import InstanceWeights, LossWeights, SelfSupervisionWeights
from vla3d_ros.training.recipe import (
    DataConfig,
    OptimiserConfig,
    Recipe,
    StageConfig,
    WatchConfig,
    as_variant,
)

Section = TypeVar("Section")

WHOLE = "routing"
_NO_RECIPE = "demonstrations"  # settings that lie in the same folder
_KEYS = {"description", "variant", "seed", "network", "data", "stages", "optimiser", "watch"}
_KEYS |= {"instance_weights", "self_supervision_weights"}


def find_recipe(name: str, folder: Path) -> Path:
    """Return the file of a recipe.

    Args:
        name: Of a file in the folder, without its ending, or the path of a YAML file.
        folder: Where the shipped recipes are.

    Raises:
        ConfigError: If there is none; lists what there is.
    """
    for path in (folder / f"{name}.yaml", Path(name)):
        if path.is_file():
            return path
    known = sorted(path.stem for path in folder.glob("*.yaml") if not path.stem.startswith(_NO_RECIPE))
    raise ConfigError(f"unknown recipe '{name}': expected one of {known} or the path of a YAML file")


def load_recipe(path: Path, *, variant: str | None = None, demonstrations: str | None = None) -> Recipe:
    """Read a recipe.

    Args:
        path: Of the YAML file.
        variant: Instead of the file's; its name is added to the recipe's.
        demonstrations: Folder, instead of the file's.

    Raises:
        ConfigError: Lists everything that is wrong with it.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, Mapping):
        raise ConfigError(f"{path} is {type(content).__name__}; expected a mapping")
    changed, name = dict(content), path.stem
    if variant is not None and variant != content.get("variant", WHOLE):
        changed["variant"], name = variant, f"{name}_{variant}"
    if demonstrations is not None and isinstance(changed.get("data"), Mapping):
        changed["data"] = {**changed["data"], "demonstrations": demonstrations}
    return recipe_from(changed, name)


def recipe_from(content: Mapping[str, Any], name: str) -> Recipe:
    """Read what a YAML parser returned.

    Args:
        content: Keys as in the shipped recipes; what has a default may be left out.
        name: Of the recipe, and of the package it becomes.

    Raises:
        ConfigError: Lists everything that is wrong.
    """
    problems = [f"'{key}' is unknown; expected one of {sorted(_KEYS)}" for key in sorted(set(content) - _KEYS)]
    problems += [f"'{key}' is missing" for key in ("network", "data", "stages") if key not in content]
    variant, seed = content.get("variant", WHOLE), content.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool):
        problems.append(f"'seed' is {seed!r}; expected a whole number")
    optimiser = _section(OptimiserConfig, content.get("optimiser", {}), "optimiser", problems)
    watch = _section(WatchConfig, content.get("watch", {}), "watch", problems)
    instances = _section(InstanceWeights, content.get("instance_weights", {}), "instance_weights", problems)
    given = content.get("self_supervision_weights", {})
    hidden = _section(SelfSupervisionWeights, given, "self_supervision_weights", problems)
    stages = _stages(content.get("stages", []), problems)
    data = _data(content.get("data", {}), problems)
    network = _network(content.get("network", {}), problems)
    if problems or network is None or data is None:
        raise ConfigError(join_problems(f"recipe '{name}'", problems))
    network = dataclasses.replace(network, embodiments=(data.robot,))
    network, stages = as_variant(variant, network, stages)
    return Recipe(
        name=name,
        description=str(content.get("description", "")),
        variant=variant,
        seed=seed,
        network=network,
        data=data,
        stages=stages,
        optimiser=optimiser,
        watch=watch,
        instance_weights=instances,
        self_supervision_weights=hidden,
    )


def recipe_to_mapping(recipe: Recipe) -> dict[str, Any]:
    """Return everything a recipe says as plain values, defaults included."""
    return {
        "name": recipe.name,
        "description": recipe.description,
        "variant": recipe.variant,
        "seed": recipe.seed,
        "network": recipe.network.to_mapping(),
        "data": dataclass_to_mapping(recipe.data),
        "stages": [dataclass_to_mapping(stage) for stage in recipe.stages],
        "optimiser": dataclass_to_mapping(recipe.optimiser),
        "watch": dataclass_to_mapping(recipe.watch),
        "instance_weights": dataclass_to_mapping(recipe.instance_weights),
        "self_supervision_weights": dataclass_to_mapping(recipe.self_supervision_weights),
    }


def recipe_sha256(recipe: Recipe) -> str:
    """Return a hash of what decides the outcome: not names, the folder's place, the device and the watching."""
    mapping = recipe_to_mapping(recipe)
    del mapping["name"], mapping["description"], mapping["watch"]
    del mapping["data"]["demonstrations"], mapping["optimiser"]["device"]
    return sha256(json.dumps(mapping, sort_keys=True).encode()).hexdigest()


def _section(kind: type[Section], given: Any, where: str, problems: list[str]) -> Section:
    """Read a dataclass all of whose fields have a default."""
    default = kind()
    if not isinstance(given, Mapping):
        problems.append(f"'{where}' is {given!r}; expected a mapping")
        return default
    found = len(problems)
    values = read_dataclass(kind, merged(dataclass_to_mapping(default), given), problems, where=f"{where}.")
    return default if len(problems) > found else kind(**values)


def _stages(given: Any, problems: list[str]) -> tuple[StageConfig, ...]:
    if not isinstance(given, list):
        problems.append(f"'stages' is {given!r}; expected a list")
        return ()
    stages = []
    for index, content in enumerate(given):
        wanted = content.get("losses", {}) if isinstance(content, Mapping) else {}
        losses = _section(LossWeights, wanted, f"stages[{index}].losses", problems)
        stage = _section(StageConfig, content, f"stages[{index}]", problems)
        stages.append(dataclasses.replace(stage, losses=losses))
    return tuple(stages)


def _data(given: Any, problems: list[str]) -> DataConfig | None:
    if not isinstance(given, Mapping):
        problems.append(f"'data' is {given!r}; expected a mapping")
        return None
    fields = {entry.name: entry for entry in dataclasses.fields(DataConfig)}
    kinds = {"cameras": Mapping, "arms": Mapping, "demonstrations": str, "robot": str}
    found = [f"'data.{key}' is unknown; expected one of {sorted(fields)}" for key in sorted(set(given) - set(fields))]
    for name in fields:
        kind = kinds.get(name, int)
        if name not in given and name in kinds:
            found.append(f"'data.{name}' is missing")
        elif name in given and not isinstance(given[name], kind):
            found.append(f"'data.{name}' is {given[name]!r}; expected {kind.__name__}")
    problems += found
    return None if found else DataConfig(**given)


def _network(given: Any, problems: list[str]) -> PolicyConfig | None:
    if not isinstance(given, Mapping) or set(given) - {"preset", "changes"} or "preset" not in given:
        problems.append(f"'network' is {given!r}; expected 'preset' and, if wanted, 'changes'")
        return None
    try:
        return PolicyConfig.from_mapping(merged(preset(str(given["preset"])).to_mapping(), given.get("changes", {})))
    except ConfigError as error:
        problems.append(str(error))
        return None


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping with changes put over it, section by section."""
    result = dict(base)
    for key, value in changes.items():
        below = result.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[key] = merged(below, value) if both and below is not None else value
    return result
