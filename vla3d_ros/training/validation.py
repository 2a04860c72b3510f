"""How far chunks are from the teacher's on episodes that were kept out of training: open loop, in mm and degrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla3d_ros.datatypes import ArmChunk
from vla3d_ros.policy.action_decoder import ActionDecoder
from vla3d_ros.policy.engine import flow_times
from vla3d_ros.policy.nets.policy_net import PolicyNet
from vla3d_ros.policy.nets.pytorch import Tensor, torch
from vla3d_ros.training.tensors import TrainingTensors

FOUND_M = 0.03
"""An object is found if an instance point is so close to its centroid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkError:
    """Mean over samples, arms and steps, and of the last step alone; the gripper as a share of its stroke."""

    position_mm: float
    rotation_deg: float
    gripper: float
    last_position_mm: float
    last_rotation_deg: float


def predict_chunks(
    net: PolicyNet, batch: TrainingTensors, noise: NDArray[np.float32], flow_steps: int
) -> tuple[NDArray[np.float32], dict[str, Tensor]]:
    """Integrate the flow as a package does.

    Args:
        net: In evaluation mode.
        batch: B observations.
        noise: (B, K, A*10).
        flow_steps: Euler steps.

    Returns:
        Normalised actions (B, K, A*10), and what the network shows to people.
    """
    taus, dt = flow_times(flow_steps)
    with torch.inference_mode():
        context = net.context(batch.inputs)
        x = torch.from_numpy(noise).to(batch.actions.device)
        for tau in taus:
            now = torch.full((len(x),), float(tau), device=x.device)
            x = x + float(dt[0]) * net.velocity(x, now, context, batch.inputs.arm_mask).float()
    chunks: NDArray[np.float32] = x.cpu().numpy()
    return chunks, context.display


def chunk_error(decoder: ActionDecoder, expected: NDArray[np.float32], got: NDArray[np.float32]) -> ChunkError:
    """Compare decoded chunks.

    Args:
        decoder: Knows the normalisation.
        expected: (B, K, A*10) normalised, the teacher's.
        got: (B, K, A*10) normalised.
    """
    pairs = [
        pair
        for theirs, ours in zip(expected, got, strict=True)
        for pair in zip(decoder.decode(theirs).arms, decoder.decode(ours).arms, strict=True)
    ]
    position = np.stack([_position_mm(*pair) for pair in pairs])
    rotation = np.stack([_rotation_deg(*pair) for pair in pairs])
    gripper = np.stack([np.abs(a.gripper_opening - b.gripper_opening) for a, b in pairs])
    return ChunkError(
        position_mm=float(position.mean()),
        rotation_deg=float(rotation.mean()),
        gripper=float(gripper.mean()),
        last_position_mm=float(position[:, -1].mean()),
        last_rotation_deg=float(rotation[:, -1].mean()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneError:
    """What the network believes of the objects; NaN where it believes nothing, or nobody knows better.

    objects_found: share of the objects some view shows that have an instance within 3 cm. completion_mm: mean distance
    of the completion points to the nearest object's surface.
    """

    objects_found: float
    completion_mm: float


def scene_error(shown: Sequence[dict[str, Tensor]], batches: Sequence[TrainingTensors]) -> SceneError:
    """Compare what the network shows to people with the truth.

    Args:
        shown: The network's display of each batch.
        batches: The same batches.
    """
    hits, gaps_m = [], []
    for display, batch in zip(shown, batches, strict=True):
        truth, surfaces = batch.targets, batch.surfaces
        if truth is None or surfaces is None or "instance_points" not in display:
            continue
        gaps = torch.cdist(truth.points.float(), display["instance_points"].float())
        gaps = torch.where(display["instance_mask"].unsqueeze(1), gaps, torch.inf)
        hits.append((gaps.amin(dim=2) < FOUND_M)[truth.countable])
        places = torch.where(truth.present[..., None, None], surfaces, torch.inf).flatten(1, 2)
        nearest = _nearest_m(display["completion_points"].float(), places)
        gaps_m.append(nearest[display["completion_mask"]])
    return SceneError(objects_found=_mean(hits), completion_mm=1e3 * _mean(gaps_m))


def _nearest_m(points: Tensor, places: Tensor) -> Tensor:
    """Return the distance (B, P) of points (B, P, 3) to the nearest of places (B, n, 3); infinite ones are absent."""
    square = (points.unsqueeze(2) - places.unsqueeze(1)).square().sum(dim=-1)
    return square.amin(dim=2).sqrt()


def _mean(parts: Sequence[Tensor]) -> float:
    joined = torch.cat([part.float() for part in parts]) if parts else torch.zeros(0)
    return float(joined.mean()) if len(joined) else float("nan")


def _position_mm(a: ArmChunk, b: ArmChunk) -> NDArray[np.float64]:
    gap: NDArray[np.float64] = 1e3 * np.linalg.norm(a.Ts_ee0_ee[:, :3, 3] - b.Ts_ee0_ee[:, :3, 3], axis=1)
    return gap


def _rotation_deg(a: ArmChunk, b: ArmChunk) -> NDArray[np.float64]:
    relative = np.swapaxes(a.Ts_ee0_ee[:, :3, :3], 1, 2) @ b.Ts_ee0_ee[:, :3, :3]
    turn: NDArray[np.float64] = np.degrees(Rotation.from_matrix(relative).magnitude())
    return turn
