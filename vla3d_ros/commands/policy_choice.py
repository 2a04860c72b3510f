"""`--policy NAME` of `vla3d up` and `vla3d demo`: another policy than the deployment's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vla3d_ros.commands.policy_check import require_fit, settings_of
from vla3d_ros.deployment import Deployment, load_deployment
from vla3d_ros.errors import ConfigError
from vla3d_ros.policy.loading import backend_kind
from vla3d_ros.policy.package import find_package, list_packages, load_package
from vla3d_ros.resources import share_dir

DEPLOYMENTS_OWN = "scripted"
SHIPPED = "vla3d_tabletop"
"""The trained policy that `vla3d demo` runs where it can."""


def demo_policy(name: str | None, deployment: str, config_dir: Path) -> str:
    """Return the name of the policy that a demo runs.

    Args:
        name: What was asked for; None for the shipped policy, if its package is among the models and fits the
            deployment's rig and robot, and for the deployment's own otherwise.
        deployment: Its name.
        config_dir: The directory `config`.

    Raises:
        ConfigError: If the deployment is unknown.
        PackageError: If the shipped package is there and not what it claims.
    """
    if name is not None or SHIPPED not in list_packages(share_dir() / "models"):
        return name or DEPLOYMENTS_OWN
    plain = load_deployment(deployment, config_dir)
    try:
        require_fit(settings_of(config_dir / "policies" / f"{SHIPPED}.yaml"), plain)
    except ConfigError:  # made for another robot or rig
        return DEPLOYMENTS_OWN
    return SHIPPED


def policy_overrides(name: str | None, config_dir: Path) -> dict[str, dict[str, Any]]:
    """Return what a deployment has to be overridden with to run another policy.

    Args:
        name: Of a settings file in `config/policies`; None or `scripted` for the deployment's own policy.
        config_dir: The directory `config`.

    Raises:
        ConfigError: If there are no such settings; lists what there is.
    """
    if name in (None, DEPLOYMENTS_OWN):
        return {}
    return {
        "policy": {"backend": backend_kind(config_dir / "policies" / f"{name}.yaml"), "backend_config": name},
    }


def prompt_use(policy: Mapping[str, Any]) -> str:
    """Return what a policy makes of a prompt picture: `unused`, `optional` or `required`.

    Args:
        policy: Parameters of the node `policy`, with the path of its settings.
    """
    if policy.get("backend") != "package":
        return "unused"
    settings = settings_of(Path(policy["backend_config"]))
    manifest = load_package(find_package(settings.package, share_dir() / "models")).manifest
    return "required" if manifest.requires_prompt else "optional" if manifest.uses_prompt else "unused"


def require_no_prompt(deployment: Deployment) -> None:
    """Make sure that a policy can do without a prompt picture, where nobody would mark one.

    Raises:
        ConfigError: If it can not.
    """
    if prompt_use(deployment.parameters.get("policy", {})) == "required":
        raise ConfigError(
            "this policy needs a picture with the target's mask on it, and nobody marks one here: run a protocol with "
            "'prompt: mask' (vla3d evaluate), or 'vla3d up' and publish it on 'policy/prompt'"
        )


def require_policy_fits(deployment: Deployment) -> None:
    """Make sure, before anything starts, that a deployment's policy package fits its rig and robot.

    Raises:
        ConfigError: Lists everything that does not fit; or the policy is untrained and would move a robot of metal.
        PackageError: If the package is not what it claims.
    """
    policy, adapter = (deployment.parameters.get(node, {}) for node in ("policy", "adapter"))
    if policy.get("backend") != "package":
        return
    manifest = require_fit(settings_of(Path(policy["backend_config"])), deployment)
    if not manifest.is_trained and "twin" not in deployment.parameters and not adapter.get("dry_run"):
        raise ConfigError(
            f"policy package '{manifest.name}' is untrained; it may move a twin, or run dry, but no robot of metal: "
            "leave --live out"
        )
