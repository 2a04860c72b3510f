"""Flow matching: from noise (tau 0) to actions (tau 1), with real-time chunking inside the step.

Training pairs A_tau = tau A + (1 - tau) eps with target A - eps (GEAR-VLA Eq. 2; VIPA-VLA 3.3), so dA/dtau = v.
"""

from __future__ import annotations

from vla3d_ros.policy.nets.pytorch import Tensor, torch


def interpolate(actions: Tensor, noise: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
    """Return A_tau and the velocity the expert shall predict.

    Args:
        actions: (B, K, A*10) normalised.
        noise: (B, K, A*10) standard normal.
        tau: (B,) in [0, 1].

    Returns:
        tau A + (1 - tau) eps, and A - eps; both (B, K, A*10).
    """
    weight = tau[:, None, None]
    return weight * actions + (1.0 - weight) * noise, actions - noise


def guidance_weight(tau: Tensor, beta: Tensor, eps: float) -> Tensor:
    """Return g = min(beta, (tau^2 + (1 - tau)^2) / (tau (1 - tau) + eps)), shape (B,).

    The weight of pseudo-inverse guidance for flows (Pokle et al., arXiv 2310.04432) as real-time chunking bounds it
    (Black et al., arXiv 2506.07339); eps keeps it finite at tau 0 and 1.
    """
    rest = 1.0 - tau
    return torch.minimum(beta, (tau * tau + rest * rest) / (tau * rest + eps))


def guided_velocity(
    x: Tensor, velocity: Tensor, tau: Tensor, previous: Tensor, weights: Tensor, gain: Tensor
) -> Tensor:
    """Pull a velocity towards the chunk before, without the expert's Jacobian: v' = v + g w (previous - x1).

    x1 = x + (1 - tau) v is where the flow is heading. Weights of zero change nothing at all.

    Args:
        x: (B, K, A*10).
        velocity: v(x, tau), (B, K, A*10).
        tau: (B,).
        previous: (B, K, A*10) normalised.
        weights: (B, K) in [0, 1].
        gain: g, (B,).
    """
    heading = x + (1.0 - tau[:, None, None]) * velocity
    return velocity + gain[:, None, None] * weights[..., None] * (previous - heading)
