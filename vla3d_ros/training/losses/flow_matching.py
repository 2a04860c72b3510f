"""Flow matching: the velocity from noise to demonstrated actions (GEAR-VLA Eq. 2; VIPA-VLA L_FM).

`A_tau = tau A + (1 - tau) eps`, target `A - eps`; the loss is the mean square over the numbers that are demonstrated.
"""

from __future__ import annotations

from vla3d_ros.policy.nets.config import POSE_WIDTH
from vla3d_ros.policy.nets.pytorch import Tensor


def demonstrated(arm_mask: Tensor, step_mask: Tensor) -> Tensor:
    """Say which numbers of a chunk are demonstrated.

    Args:
        arm_mask: (B, A) bool, arms that are there.
        step_mask: (B, K) bool, steps before the demonstration ended.

    Returns:
        (B, K, A*10) bool.
    """
    arms = arm_mask.repeat_interleave(POSE_WIDTH, dim=1)
    return step_mask.unsqueeze(2) & arms.unsqueeze(1)


def flow_matching_loss(velocity: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of `(v - (A - eps))^2` over the masked numbers; 0 if none is.

    Args:
        velocity: v(A_tau, tau), (B, K, A*10).
        target: A - eps, (B, K, A*10).
        mask: (B, K, A*10) bool.

    Returns:
        Scalar, float32.
    """
    weight = mask.float()
    square = (velocity.float() - target.float()).square() * weight
    return square.sum() / weight.sum().clamp(min=1.0)
