"""The policies of a study: from their names to what a deployment runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla3d_ros.commands.policy_choice import policy_overrides, require_policy_fits
from vla3d_ros.deployment import Deployment, load_deployment
from vla3d_ros.errors import ConfigError, Vla3dError, join_problems
from vla3d_ros.evaluation.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPolicy:
    """A policy: its name in the study, and what it changes in a deployment."""

    name: str
    overrides: Mapping[str, Mapping[str, Any]]


def choose_policies(names: Sequence[str], study: Study, config_dir: Path) -> dict[str, StudyPolicy]:
    """Find policies by their names in the protocol or in `config/policies`.

    Raises:
        ConfigError: If none is named, or some are unknown or say no backend; lists all.
    """
    known = sorted({*study.policies, *(file.stem for file in (config_dir / "policies").glob("*.yaml"))})
    if not names:
        raise ConfigError(f"--policies is missing: expected some of {known}")
    problems = [f"unknown policy '{name}': expected one of {known}" for name in names if name not in known]
    found = {}
    for name in names:
        settings = study.policies.get(name, name)
        try:
            found[name] = StudyPolicy(name=name, overrides=policy_overrides(settings, config_dir))
        except Vla3dError as error:
            if name in known:
                problems.append(f"policy '{name}': {error}")
    if problems:
        raise ConfigError(join_problems("--policies", problems))
    return found


def deploy(deployment: str, policy: StudyPolicy, config_dir: Path, bags: Path, *, is_live: bool = False) -> Deployment:
    """Return a deployment with this policy in it, recording into a folder.

    Raises:
        ConfigError: If the policy does not fit the deployment's rig and robot.
    """
    overrides = {**policy.overrides, "recorder": {"output_dir": str(bags.resolve())}}
    deployed = load_deployment(deployment, config_dir, overrides, is_live=is_live)
    require_policy_fits(deployed)
    return deployed
