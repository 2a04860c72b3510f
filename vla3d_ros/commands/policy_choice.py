"""`--policy NAME` of `vla3d up` and `vla3d demo`: another policy than the deployment's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vla3d_ros.commands.policy_check import require_fit, settings_of
from vla3d_ros.deployment import Deployment
from vla3d_ros.errors import ConfigError
from vla3d_ros.policy.loading import backend_kind

DEPLOYMENTS_OWN = "scripted"


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
