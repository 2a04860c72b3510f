"""Embodiment-aware robot states: z = f_e(s), s = {T_base_ee, q} (GEAR-VLA 3.3). Nothing else knows the robot."""

from __future__ import annotations

from vla3d_ros.policy.nets.config import PolicyConfig
from vla3d_ros.policy.nets.pytorch import Tensor, functional, nn, torch


class StateProjector(nn.Module):
    """One light two-layer projector per embodiment; which one is a gather, so that graphs stay static."""

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        robots, numbers, width = len(config.embodiments), config.state_width, config.width
        self.first_weight = nn.Parameter(torch.randn(robots, numbers, width) / numbers**0.5)
        self.first_bias = nn.Parameter(torch.zeros(robots, 1, width))
        self.second_weight = nn.Parameter(torch.randn(robots, width, width) / width**0.5)
        self.second_bias = nn.Parameter(torch.zeros(robots, 1, width))
        self.slot = nn.Parameter(0.02 * torch.randn(1, len(config.arms), width))

    def forward(self, state: Tensor, embodiment: Tensor, mask: Tensor) -> Tensor:
        """Project one state per arm slot.

        Args:
            state: (B, A, 10 + J) float32, normalised.
            embodiment: (B,) int64, which projector.
            mask: (B, A) bool, True where the arm exists and its state is known.

        Returns:
            (B, A, C), zero where masked.
        """
        state = torch.where(mask[..., None], state.to(self.slot.dtype), 0.0)
        hidden = torch.bmm(state, self._of(self.first_weight, embodiment)) + self._of(self.first_bias, embodiment)
        hidden = functional.gelu(hidden)
        tokens = torch.bmm(hidden, self._of(self.second_weight, embodiment)) + self._of(self.second_bias, embodiment)
        return torch.where(mask[..., None], tokens + self.slot, 0.0)

    @staticmethod
    def _of(parameter: Tensor, embodiment: Tensor) -> Tensor:
        return parameter.index_select(0, embodiment)
