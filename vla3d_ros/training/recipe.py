"""A recipe: everything that decides what a training run gives, apart from the demonstrations themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from vla3d_ros.errors import ConfigError, join_problems
from vla3d_ros.policy.nets.config import PolicyConfig
from vla3d_ros.policy.nets.route_configs import too_small
from vla3d_ros.training.loss_weights import InstanceWeights, LossWeights, SelfSupervisionWeights

VARIANTS = ("trunk", "instances", "completion", "routing")
"""The paper's ablation (Tables 3 and 4): trunk only, then + A instances, + B completion, + C routing."""
PRECISIONS = ("auto", "fp32", "bf16")
DEVICES = ("auto", "cpu", "cuda")

_LOSSES, _INSTANCES, _HIDDEN = LossWeights(), InstanceWeights(), SelfSupervisionWeights()


@dataclass(frozen=True, slots=True, kw_only=True)
class StageConfig:
    """One stage: which parts train for how many steps, and at what rate (3DVLA App. A.2, A.3)."""

    name: str = "all"
    steps: int = 5000
    trains: tuple[str, ...] = ("trunk", "expert")  # of vla3d_ros.training.parts
    completes: bool = True  # whether completion tokens exist in this stage, where the network has them
    peak_rate: float = 3e-4
    final_rate: float = 1e-6
    warmup_steps: int = 200
    losses: LossWeights = _LOSSES

    def problems(self) -> list[str]:
        """Say what is out of range."""
        found = too_small(self, {"steps": 1, "warmup_steps": 0, "final_rate": 0.0})
        found += too_small(self.losses, {"flow": 0, "instances": 0, "depth": 0, "self_supervision": 0})
        if not self.peak_rate > 0:
            found.append(f"'peak_rate' is {self.peak_rate}; expected above 0")
        if self.losses.self_supervision and not self.completes:
            found.append("'losses.self_supervision' needs 'completes'")
        return [f"stage '{self.name}': {problem}" for problem in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimiserConfig:
    """AdamW and what surrounds it."""

    batch: int = 32  # samples of one pass
    accumulate: int = 1  # passes per step
    flow_draws: int = 1  # flow times and noises per sample: the expert is cheap beside the context
    weight_decay: float = 1e-4
    clip: float = 0.5  # norm of all gradients
    beta1: float = 0.9
    beta2: float = 0.999
    average: float = 0.0  # momentum of the average of weights that is validated and shipped; 0: the weights themselves
    teacher: float = 0.999  # m of the self-supervision's teacher
    precision: str = "auto"  # bf16 on a GPU, fp32 on a CPU
    device: str = "auto"

    def problems(self) -> list[str]:
        """Say what is out of range."""
        least: dict[str, float] = {
            "batch": 1,
            "accumulate": 1,
            "flow_draws": 1,
            "weight_decay": 0,
            "average": 0,
            "teacher": 0,
        }
        found = too_small(self, least)
        found += [
            f"'{name}' is {getattr(self, name)}; expected below 1"
            for name in ("average", "teacher", "beta1", "beta2")
            if not getattr(self, name) < 1
        ]
        if not self.clip > 0:
            found.append(f"'clip' is {self.clip}; expected above 0")
        for name, choices in (("precision", PRECISIONS), ("device", DEVICES)):
            if getattr(self, name) not in choices:
                found.append(f"'{name}' is '{getattr(self, name)}'; expected one of {list(choices)}")
        return [f"optimiser: {problem}" for problem in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchConfig:
    """How often a run looks at itself. 0 switches something off."""

    validate_every: int = 500
    validation_samples: int = 64
    flow_steps: int = 5
    checkpoint_every: int = 500

    def problems(self) -> list[str]:
        """Say what is out of range."""
        found = too_small(
            self, {"validate_every": 0.0, "validation_samples": 1, "flow_steps": 1, "checkpoint_every": 1}
        )
        return [f"watch: {problem}" for problem in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Which demonstrations, and how they fill the network's views and slots.

    demonstrations: folder. held_out_every: every so many-th episode is kept out of training. cameras, arms: the
    recording's name for each view and slot of the network; what is not named stays masked. robot: embodiment of the
    package. instances: objects there may be in a scene. surface_points: of each, to judge completion points by.
    """

    demonstrations: str
    robot: str
    cameras: Mapping[str, str]
    arms: Mapping[str, str]
    held_out_every: int = 20
    instances: int = 16
    surface_points: int = 32

    def problems(self, network: PolicyConfig) -> list[str]:
        """Say what is out of range or does not fit the network."""
        found = too_small(self, {"held_out_every": 2, "instances": 1, "surface_points": 1})
        for name, names, known in (
            ("cameras", self.cameras, network.views),
            ("arms", self.arms, network.arms),
        ):
            if unknown := sorted(set(names) - set(known)):
                found.append(f"'{name}' names {unknown}; the network has {list(known)}")
            if not names:
                found.append(f"'{name}' is empty; the network has {list(known)}")
        if network.embodiments != (self.robot,):
            found.append(f"'robot' is '{self.robot}'; the network's embodiments are {list(network.embodiments)}")
        return [f"data: {problem}" for problem in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What `config/training/<name>.yaml` says, complete and checked."""

    name: str
    description: str
    variant: str
    seed: int
    network: PolicyConfig
    data: DataConfig
    stages: tuple[StageConfig, ...]
    optimiser: OptimiserConfig = OptimiserConfig()
    watch: WatchConfig = WatchConfig()
    instance_weights: InstanceWeights = _INSTANCES
    self_supervision_weights: SelfSupervisionWeights = _HIDDEN

    def __post_init__(self) -> None:
        problems = [*self.optimiser.problems(), *self.watch.problems(), *self.data.problems(self.network)]
        problems += [problem for stage in self.stages for problem in stage.problems()]
        if not self.stages:
            problems.append("'stages' is empty; expected at least one")
        if self.stages and self.network.vla3d and self.network.vla3d.completes > self.stages[-1].completes:
            problems.append("the last stage has 'completes: false': the package would have completion nobody trained")
        if self.variant not in VARIANTS:
            problems.append(f"'variant' is '{self.variant}'; expected one of {list(VARIANTS)}")
        if self.network.text.kind != "hashed":
            problems.append(f"'network.text.kind' is '{self.network.text.kind}'; training reads hashed words")
        if problems:
            raise ConfigError(join_problems(f"recipe '{self.name}'", problems))

    @property
    def steps(self) -> int:
        """Of all stages."""
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> tuple[int, int]:
        """Return the index of the stage that a step belongs to, and its first step."""
        first = 0
        for index, stage in enumerate(self.stages):
            if step < first + stage.steps:
                return index, first
            first += stage.steps
        raise ConfigError(f"recipe '{self.name}' has {self.steps} steps; there is no step {step}")


def as_variant(
    variant: str, network: PolicyConfig, stages: tuple[StageConfig, ...]
) -> tuple[PolicyConfig, tuple[StageConfig, ...]]:
    """Take away what a variant does not have; steps, rates and data stay, so that all variants have the same budget.

    Args:
        variant: `routing` takes nothing away; `completion` has no Eq. 15-16, `instances` no completion either, `trunk`
            no route at all: its trunk then trains in every stage.
        network: Of the whole.
        stages: Of the whole.

    Raises:
        ConfigError: If the variant is unknown, or it is not the trunk and the network's route is not vla3d.
    """
    if variant not in VARIANTS:
        raise ConfigError(f"unknown variant '{variant}'; expected one of {list(VARIANTS)}")
    if variant == "trunk":
        plain = replace(network, route="trunk", vla3d=None, gear=None, vipa=None, think3d=None)
        only = LossWeights()
        return plain, tuple(replace(stage, trains=("trunk", "expert"), losses=only) for stage in stages)
    if network.vla3d is None:
        return network, stages
    completes, routes = variant != "instances", variant == "routing"
    lost = {name for name, has in (("completion", completes), ("aggregation", routes)) if not has}
    changed = []
    for stage in stages:
        losses = stage.losses if completes else replace(stage.losses, self_supervision=0.0)
        trains = tuple(part for part in stage.trains if part not in lost)
        changed.append(replace(stage, trains=trains, losses=losses, completes=stage.completes and completes))
    route = replace(network.vla3d, completes=completes, routes=routes)
    return replace(network, vla3d=route), tuple(changed)
