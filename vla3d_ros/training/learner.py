"""The network and what moves it: parts that train, AdamW, averages; as tensors, to be kept and put back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vla3d_ros.errors import TrainingError
from vla3d_ros.policy.nets.building import build_net
from vla3d_ros.policy.nets.policy_net import PolicyNet
from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch
from vla3d_ros.policy.nets.vla3d.route import Vla3dRoute
from vla3d_ros.training.averages import AveragedNet
from vla3d_ros.training.device import Device
from vla3d_ros.training.objective import Losses, Weights, compute_losses
from vla3d_ros.training.parts import train_only
from vla3d_ros.training.recipe import Recipe, StageConfig
from vla3d_ros.training.schedule import learning_rate
from vla3d_ros.training.tensors import TrainingTensors

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class Learner:
    """One network through all stages; knows nothing of data, files or time."""

    def __init__(self, recipe: Recipe, device: Device) -> None:
        self._recipe, self._device = recipe, device
        self.net = build_net(recipe.network, recipe.seed).to(device.name)
        momentum = recipe.optimiser.average
        self._average = AveragedNet(self.net, momentum) if momentum else None
        self._teacher: AveragedNet | None = None
        self._stage = recipe.stages[0]
        self._training: dict[str, nn.Parameter] = {}
        self._optimiser: torch.optim.AdamW | None = None

    @property
    def shown(self) -> PolicyNet:
        """The network that is validated and shipped: the average of weights if there is one."""
        return self.net if self._average is None else self._average.net

    def enter(self, stage: StageConfig) -> None:
        """Start a stage: freeze and thaw, a new optimiser, and a teacher if the memory it copies will move."""
        self._stage, config = stage, self._recipe.optimiser
        self._training = train_only(self.net, stage.trains)
        self._optimiser = torch.optim.AdamW(
            self._training.values(),
            lr=stage.peak_rate,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
        )
        moves = {"trunk", "fusion"} & set(stage.trains)
        is_taught = bool(stage.losses.self_supervision and moves)
        self._teacher = AveragedNet(self.net, config.teacher) if is_taught else None
        self.complete(stage.completes)

    def complete(self, completes: bool) -> None:
        """Switch completion tokens on, where they were built, or off."""
        for net in (self.net, self.shown):
            if isinstance(net.route, Vla3dRoute):
                net.route.completes = completes and net.route.occlusion is not None

    def add_gradients(self, batch: TrainingTensors, rng: np.random.Generator) -> Losses:
        """Run one pass and add its gradients up.

        Raises:
            TrainingError: If a loss is not finite.
        """
        recipe = self._recipe
        self.net.train()
        devices = [torch.cuda.current_device()] if self._device.name == "cuda" else []
        with torch.random.fork_rng(devices=devices):  # dropout draws from torch's own generator
            torch.manual_seed(int(rng.integers(2**62)))
            with self._device.autocast():
                losses = compute_losses(
                    self.net,
                    batch,
                    Weights(self._stage.losses, recipe.instance_weights, recipe.self_supervision_weights),
                    rng,
                    flow_draws=recipe.optimiser.flow_draws,
                    teacher=None if self._teacher is None else self._teacher.net,
                )
            if not torch.isfinite(losses.total):
                terms = {name: float(term) for name, term in losses.terms.items()}
                total = float(losses.total.detach())
                raise TrainingError(
                    f"the loss of stage '{self._stage.name}' is {total}: {terms}; lower 'peak_rate', or "
                    "look at the demonstrations"
                )
            torch.autograd.backward(losses.total / self._recipe.optimiser.accumulate)
        return losses

    def step(self, number: int) -> float:
        """Clip, step and average.

        Args:
            number: Of the step within its stage, from 0.

        Returns:
            Norm of the gradient before it was clipped.
        """
        assert self._optimiser is not None  # `enter` comes first
        stage = self._stage
        rate = learning_rate(
            number, stage.steps, peak=stage.peak_rate, final=stage.final_rate, warmup_steps=stage.warmup_steps
        )
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        norm = nn.utils.clip_grad_norm_(self._training.values(), self._recipe.optimiser.clip)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        for follower in (self._average, self._teacher):
            if follower is not None:
                follower.follow(self.net)
        return float(norm)

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that `restore` needs to go on with the same bits."""
        assert self._optimiser is not None  # `enter` comes first
        kept = {f"net/{name}": tensor for name, tensor in self.net.state_dict().items()}
        for prefix, follower in self._followers():
            kept |= {f"{prefix}/{name}": tensor for name, tensor in follower.net.state_dict().items()}
        for name, parameter in self._training.items():
            moments = self._optimiser.state.get(parameter, {})
            kept |= {f"optimiser/{moment}/{name}": moments[moment] for moment in _MOMENTS if moment in moments}
        return kept

    def restore(self, kept: Mapping[str, Tensor], *, with_optimiser: bool) -> None:
        """Put back what `tensors` gave, after `enter`.

        Args:
            kept: The tensors.
            with_optimiser: False at the start of a stage, whose optimiser and teacher are new.
        """
        assert self._optimiser is not None  # `enter` comes first
        self.net.load_state_dict(_below(kept, "net"))
        if self._average is not None:
            self._average.net.load_state_dict(_below(kept, "average"))
        if not with_optimiser:
            self.enter(self._stage)  # a teacher starts as a copy of what was put back
            return
        if self._teacher is not None:
            self._teacher.net.load_state_dict(_below(kept, "teacher"))
        for name, parameter in self._training.items():
            moments = {moment: kept.get(f"optimiser/{moment}/{name}") for moment in _MOMENTS}
            if moments["step"] is not None:
                self._optimiser.state[parameter] = {**moments, "step": moments["step"].cpu()}

    def _followers(self) -> list[tuple[str, AveragedNet]]:
        named = (("average", self._average), ("teacher", self._teacher))
        return [(name, follower) for name, follower in named if follower is not None]


def _below(kept: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}/"): value for name, value in kept.items() if name.startswith(f"{prefix}/")}
