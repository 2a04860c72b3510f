"""What one pass minimises: the losses of a stage, on one batch, with the pass's own chance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vla3d_ros.errors import ConfigError
from vla3d_ros.policy.nets.features import Context
from vla3d_ros.policy.nets.flow import interpolate
from vla3d_ros.policy.nets.modality_drop import sample_modality_drop
from vla3d_ros.policy.nets.policy_net import PolicyNet
from vla3d_ros.policy.nets.pytorch import Tensor, torch
from vla3d_ros.policy.nets.vla3d.depth import measured_depth
from vla3d_ros.policy.nets.vla3d.route import Vla3dRoute
from vla3d_ros.training.loss_weights import InstanceWeights, LossWeights, SelfSupervisionWeights
from vla3d_ros.training.losses.depth_bins import depth_bin_loss
from vla3d_ros.training.losses.flow_matching import demonstrated, flow_matching_loss
from vla3d_ros.training.losses.instances import instance_loss, layer_answers
from vla3d_ros.training.losses.self_supervision import (
    SelfSupervision,
    self_supervision_loss,
    self_supervision_terms,
)
from vla3d_ros.training.masking import draw_hidden
from vla3d_ros.training.tensors import TrainingTensors

_MOST_ASKED = 64  # hidden tokens per sample that are predicted: the rest would cost and teach the same


class Weights(NamedTuple):
    """Of a stage, and inside of the joint losses."""

    stage: LossWeights
    instances: InstanceWeights = InstanceWeights()
    self_supervision: SelfSupervisionWeights = SelfSupervisionWeights()


class Losses(NamedTuple):
    """total: scalar with a gradient. terms: losses and their parts by name, not weighted, for people."""

    total: Tensor
    terms: dict[str, Tensor]


def compute_losses(
    net: PolicyNet,
    batch: TrainingTensors,
    weights: Weights,
    rng: np.random.Generator,
    *,
    flow_draws: int = 1,
    teacher: PolicyNet | None = None,
) -> Losses:
    """Run the network on a batch and add its losses up.

    Args:
        net: In training mode.
        batch: Observations, actions, truth.
        weights: The lambdas.
        rng: The pass's.
        flow_draws: Flow times and noises per sample.
        teacher: Gives the targets of hidden tokens; None if the network's memory does not train in this stage: an
            average of what stands still is itself.

    Raises:
        ConfigError: If a loss is asked for that this network or these samples can not have.
    """
    stage = weights.stage
    config, device = net.config, batch.actions.device
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    drop = sample_modality_drop(config, len(batch.actions), generator)
    drop = drop._replace(views=drop.views.to(device), states=drop.states.to(device))
    context = net.context(batch.inputs, drop)
    terms = {"flow": _flow(net, batch, context, rng, flow_draws)}
    total = stage.flow * terms["flow"]
    if stage.instances:
        if batch.targets is None or "layer_points" not in context.aux:
            raise ConfigError("'losses.instances' needs route 'vla3d' and demonstrations with the scene's truth")
        terms["instances"], parts = instance_loss(layer_answers(context.aux), batch.targets, weights.instances)
        terms |= {f"instances.{name}": part for name, part in parts.items()}
        total = total + stage.instances * terms["instances"]
    if stage.depth:
        terms["depth"] = _depth(net, batch, context)
        total = total + stage.depth * terms["depth"]
    if stage.self_supervision:
        found = _self_supervision(net, teacher, batch, context, rng)
        parts = found._asdict()
        terms["self_supervision"] = self_supervision_loss(found, weights.self_supervision)
        terms |= {f"self_supervision.{name}": part for name, part in parts.items()}
        total = total + stage.self_supervision * terms["self_supervision"]
    return Losses(total, {name: term.detach() for name, term in terms.items()})


def _flow(net: PolicyNet, batch: TrainingTensors, context: Context, rng: np.random.Generator, draws: int) -> Tensor:
    """Draw flow times and noise, `draws` of each per sample, and compare velocities (GEAR-VLA Eq. 2)."""
    actions = batch.actions.repeat_interleave(draws, dim=0)
    arm_mask = batch.inputs.arm_mask.repeat_interleave(draws, dim=0)
    tau = torch.from_numpy(rng.random(len(actions), dtype=np.float32)).to(actions)
    noise = torch.from_numpy(rng.standard_normal(actions.shape, dtype=np.float32)).to(actions)
    noisy, target = interpolate(actions, noise, tau)
    names = ("context_k", "context_v", "context_mask", "condition")
    repeated = context._replace(**{name: getattr(context, name).repeat_interleave(draws, dim=0) for name in names})
    velocity = net.velocity(noisy, tau, repeated, arm_mask)
    steps = torch.ones_like(actions[..., 0], dtype=torch.bool)
    return flow_matching_loss(velocity, target, demonstrated(arm_mask, steps))


def _depth(net: PolicyNet, batch: TrainingTensors, context: Context) -> Tensor:
    route = net.config.vla3d
    if route is None or "depth_logits" not in context.aux:
        raise ConfigError("'losses.depth' needs route 'vla3d' with a depth head: 'token_depth' other than 'aligned'")
    assert isinstance(net.route, Vla3dRoute)
    measured = measured_depth(batch.depth_m, net.config.grid, route.depth_step_px)
    known = measured.valid & batch.inputs.view_mask.unsqueeze(-1)
    head = net.route.memory.coordinates.head
    assert head is not None  # it gave the logits
    return depth_bin_loss(context.aux["depth_logits"], measured.depth_m, known, head.bins_m)


def _self_supervision(
    net: PolicyNet, teacher: PolicyNet | None, batch: TrainingTensors, context: Context, rng: np.random.Generator
) -> SelfSupervision:
    """Hide half of the tokens and predict them from the rest (3DVLA 3.3, Eq. 7-13)."""
    if not isinstance(net.route, Vla3dRoute):
        raise ConfigError(f"'losses.self_supervision' needs route 'vla3d'; the network's is '{net.config.route}'")
    features = net.trunk.see(batch.inputs)
    hidden = draw_hidden(features.token_mask, rng, most=_MOST_ASKED)
    predicted, placed = net.route.reconstruct(features, batch.inputs, hidden.tokens, hidden.chosen)
    target = _remembered(teacher, batch) if teacher is not None else context.aux["memory"]
    flat = target.detach().flatten(1, 2)
    target = flat.gather(1, hidden.chosen.unsqueeze(-1).expand(-1, -1, flat.shape[-1]))
    return self_supervision_terms(predicted, target, hidden.asked & placed)


def _remembered(teacher: PolicyNet, batch: TrainingTensors) -> Tensor:
    assert isinstance(teacher.route, Vla3dRoute)  # a copy of the student
    with torch.no_grad():
        tokens: Tensor = teacher.route.remember(teacher.trunk.see(batch.inputs), batch.inputs).tokens
    return tokens
