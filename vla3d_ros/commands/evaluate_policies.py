"""The policies of a study: from their names to what a deployment runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla3d_ros.commands.policy_choice import policy_overrides, prompt_use, require_policy_fits
from vla3d_ros.deployment import Deployment, load_deployment
from vla3d_ros.errors import ConfigError, Vla3dError, join_problems
from vla3d_ros.evaluation.study import MASK, Study


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


def check_prompts(study: Study, choices: Mapping[str, StudyPolicy], deployment: str, config_dir: Path) -> None:
    """Make sure that policies and protocol agree on whether targets are marked by masks.

    Args:
        study: The protocol.
        choices: The policies by name.
        deployment: Its name; whose own policy is meant where a policy changes nothing.
        config_dir: The directory `config`.

    Raises:
        ConfigError: Lists the policies that would not see the mask, or would miss it.
    """
    is_marked = study.prompt == MASK
    problems = []
    for name, policy in choices.items():
        use = prompt_use(load_deployment(deployment, config_dir, policy.overrides).parameters.get("policy", {}))
        if is_marked and use == "unused":
            problems.append(f"policy '{name}' looks at no prompt picture, and the protocol speaks of masks only")
        if not is_marked and use == "required":
            problems.append(f"policy '{name}' needs a prompt picture; the protocol marks no targets ('prompt: mask')")
    if problems:
        raise ConfigError(join_problems(f"protocol '{study.name}'", problems))


def deploy(deployment: str, policy: StudyPolicy, config_dir: Path, bags: Path, *, is_live: bool = False) -> Deployment:
    """Return a deployment with this policy in it, recording into a folder.

    Raises:
        ConfigError: If the policy does not fit the deployment's rig and robot.
    """
    overrides = {**policy.overrides, "recorder": {"output_dir": str(bags.resolve())}}
    deployed = load_deployment(deployment, config_dir, overrides, is_live=is_live)
    require_policy_fits(deployed)
    return deployed
