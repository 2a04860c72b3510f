"""A batch of arrays becomes what the network reads and what its losses compare."""

from __future__ import annotations

from typing import NamedTuple

from vla3d_ros.errors import ConfigError
from vla3d_ros.policy.nets.config import PolicyConfig
from vla3d_ros.policy.nets.features import ContextInputs
from vla3d_ros.policy.nets.pytorch import Tensor, torch
from vla3d_ros.policy.nets.torch_engine import tensors_of
from vla3d_ros.training.losses.matching import InstanceTargets
from vla3d_ros.training.samples import Batch


class TrainingTensors(NamedTuple):
    """One batch on the device: inputs; actions (B, K, A*10) normalised; depth_m (B, V, H, W).

    targets: what there is to see, None where nobody knows it. surfaces: (B, T, S, 3) m of the targets, likewise.
    """

    inputs: ContextInputs
    actions: Tensor
    depth_m: Tensor
    targets: InstanceTargets | None
    surfaces: Tensor | None


def to_tensors(config: PolicyConfig, batch: Batch, device: str) -> TrainingTensors:
    """Move a collated, normalised batch with words to the device.

    Args:
        config: Says which inputs the network has, and how many classes its probes know.
        batch: Of `vla3d_ros.training.samples.collate`.
        device: Torch device.

    Raises:
        ShapeError: If an input is missing or has another shape.
        ConfigError: If the probes have a number of classes that the truth has not.
    """
    knows = config.vla3d is not None and "truth_mask" in batch
    return TrainingTensors(
        inputs=tensors_of(config, batch, device),
        actions=torch.from_numpy(batch["actions"]).to(device),
        depth_m=torch.from_numpy(batch["depth_m"]).to(device),
        targets=_targets(config, batch, device) if knows else None,
        surfaces=torch.from_numpy(batch["surface_points"]).to(device) if knows else None,
    )


def _targets(config: PolicyConfig, batch: Batch, device: str) -> InstanceTargets:
    assert config.vla3d is not None
    roles = batch["object_roles"]
    if config.vla3d.classes == 1:
        roles = roles * 0  # one class: there is an object
    elif roles.max(initial=0) >= config.vla3d.classes:
        raise ConfigError(
            f"'vla3d.classes' is {config.vla3d.classes}; the truth has role {roles.max()}: expected 1 (there is an "
            "object), or 3 (other, target cube, target pad)"
        )
    present = batch["object_mask"] & batch["truth_mask"][:, None]
    seen = batch["object_visible"] & present[:, None] & batch["view_mask"][:, :, None]
    arrays = (roles, batch["object_points"], present, seen, batch["boxes"], batch["masks"])
    return InstanceTargets(*(torch.from_numpy(array).to(device) for array in arrays))
