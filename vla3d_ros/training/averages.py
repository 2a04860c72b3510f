"""Exponential moving averages of weights: of the shipped network, and of the teacher (3DVLA 3.3.3, m = 0.999)."""

from __future__ import annotations

import copy

from vla3d_ros.policy.nets.policy_net import PolicyNet
from vla3d_ros.policy.nets.pytorch import torch


class AveragedNet:
    """A copy of a network that follows it: `theta_T <- m theta_T + (1 - m) theta_S`. It gets no gradient."""

    def __init__(self, net: PolicyNet, momentum: float) -> None:
        """Start as a copy.

        Args:
            net: The student.
            momentum: m, in [0, 1).
        """
        self.net = copy.deepcopy(net).requires_grad_(False).eval()
        self._momentum = momentum

    def follow(self, net: PolicyNet) -> None:
        """Take one step towards the network."""
        with torch.no_grad():
            for ours, theirs in zip(self.net.parameters(), net.parameters(), strict=True):
                ours.lerp_(theirs, 1.0 - self._momentum)
