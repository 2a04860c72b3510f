"""From a plan to what its trials are made of, and to the digests that say so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import vla3d_ros
from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.commands.evaluate import trial_setup
from vla3d_ros.commands.policy_choice import DEPLOYMENTS_OWN, require_policy_fits
from vla3d_ros.commands.policy_folder import any_policy_overrides
from vla3d_ros.deployment import Deployment, load_deployment
from vla3d_ros.errors import ConfigError, Vla3dError, join_problems
from vla3d_ros.evaluation.batch import kept_backend
from vla3d_ros.evaluation.evidence.code_version import code_digests, library_versions
from vla3d_ros.evaluation.evidence.config import EvidencePlan, Variant
from vla3d_ros.evaluation.evidence.store import Cell
from vla3d_ros.evaluation.trial_loop import TrialSetup
from vla3d_ros.policy.loading import read_settings
from vla3d_ros.policy.package import find_package, load_package
from vla3d_ros.policy.package_files import MANIFEST
from vla3d_ros.resources import share_dir
from vla3d_ros.twin.variation import Variation, load_variation

_ROOTS = ("vla3d_ros.evaluation.evidence.trial", "vla3d_ros.policy.loading")
_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSetups:
    """By cell: what its trials are made of, and digests of all of that. `variations`: those of the plan, by name."""

    setups: Mapping[Cell, TrialSetup]
    identities: Mapping[Cell, Mapping[str, Any]]


def load_variations(plan: EvidencePlan, config_dir: Path) -> dict[str, Variation]:
    """Read the plan's variations.

    Raises:
        ConfigError: If one is missing or wrong.
    """
    return {name: load_variation(name, config_dir / "variations") for name in plan.variations}


def cell_setups(plan: EvidencePlan, cells: Sequence[Cell], out: Path, config_dir: Path) -> CellSetups:
    """Return what trials are made of.

    Args:
        plan: The plan.
        cells: Those of its cells that are wanted.
        out: Folder of the run; settings of packages are written below it.
        config_dir: The directory `config`.

    Raises:
        ConfigError: Lists every policy that is missing or does not fit, and every variation that is unknown.
    """
    variations = load_variations(plan, config_dir)
    deployments, problems = {}, []
    for name in dict.fromkeys(variant for variant, _ in cells):
        try:
            deployments[name] = _deployment(plan, plan.variant(name), out, config_dir)
        except Vla3dError as error:
            problems.append(f"variant '{name}': {error}")
    if problems:
        raise ConfigError(
            join_problems("policies; train them (docs/how-to/training.md), or choose others with --variants", problems)
        )
    policies = {name: policy_identity(deployment) for name, deployment in deployments.items()}
    common = _common_identity(plan, load_deployment(plan.deployment, config_dir))
    setups, identities = {}, {}
    for variant, variation in cells:
        setups[variant, variation] = _setup(plan, deployments[variant], variations[variation])
        path = config_dir / "variations" / f"{variation}.yaml"
        identities[variant, variation] = {
            **common,
            "policy": policies[variant],
            "variation": _digest_of(read_settings(path)),
        }
    return CellSetups(setups=setups, identities=identities)


def policy_identity(deployment: Deployment) -> dict[str, Any]:
    """Return digests of a deployment's policy: of its settings and, for a package, of its manifest and so of it all."""
    policy = deployment.parameters["policy"]
    settings = dict(read_settings(Path(policy["backend_config"])))
    identity: dict[str, Any] = {"kind": policy["backend"]}
    if policy["backend"] == "package":
        package = load_package(find_package(settings.pop("package"), share_dir() / "models"))
        identity |= {"package": package.sha256, "is_trained": package.manifest.is_trained}
    return identity | {"settings": _digest_of(settings)}


def _deployment(plan: EvidencePlan, variant: Variant, out: Path, config_dir: Path) -> Deployment:
    plain = load_deployment(plan.deployment, config_dir)
    policy = variant.policy
    if policy != DEPLOYMENTS_OWN:
        folders = [folder for folder in (Path(policy), share_dir() / policy) if (folder / MANIFEST).is_file()]
        is_path = "/" in policy
        if is_path and not folders:
            raise ConfigError(f"no policy package '{policy}': there is no {MANIFEST} in it")
        policy = str(folders[0]) if folders else policy
    overrides = any_policy_overrides(policy, plain, config_dir, out / "policies" / variant.name)
    deployment = load_deployment(plan.deployment, config_dir, overrides)
    require_policy_fits(deployment)
    return deployment


def _setup(plan: EvidencePlan, deployment: Deployment, variation: Variation) -> TrialSetup:
    policy = deployment.parameters["policy"]
    return replace(
        trial_setup(deployment, latency_ms=plan.latency_ms, nudge_share=plan.nudge_share),
        policy_factory=partial(kept_backend, policy["backend"], policy["backend_config"]),
        variation=variation,
        timeout_s=plan.timeout_s,
    )


def _common_identity(plan: EvidencePlan, deployment: Deployment) -> dict[str, Any]:
    """Digests of what every cell has in common."""
    if "twin" not in deployment.parameters:
        raise ConfigError(f"deployment '{deployment.name}' has no twin; batch trials need one")
    files = {
        "robot": deployment.robot_file,
        "urdf": load_embodiment(deployment.robot_file).urdf_path,
        "rig": deployment.rig_file,
        "scene": Path(deployment.parameters["twin"]["scene_file"]),
    }
    world = {name: hashlib.sha256(path.read_bytes()).hexdigest()[:_DIGITS] for name, path in files.items()}
    world["bounds"] = _digest_of(deployment.parameters["adapter"]["execution"])
    trial = {key: getattr(plan, key) for key in ("seed", "latency_ms", "nudge_share", "timeout_s")}
    code = code_digests(Path(vla3d_ros.__file__).parent, _ROOTS)
    return {"world": world, "trial": trial, "code": code, "libraries": library_versions()}


def _digest_of(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:_DIGITS]
