"""Everything that decides a policy network's shape. Knows no torch: a package's manifest is read without it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vla3d_ros.errors import ConfigError, join_problems
from vla3d_ros.policy.nets.config_mapping import dataclass_to_mapping, read_dataclass
from vla3d_ros.policy.nets.route_configs import GearConfig, Think3dConfig, VipaConfig, Vla3dConfig, too_small

POSE_WIDTH = 10  # position 3, rotation 6D, gripper opening
ROUTES = ("trunk", "vla3d", "gear", "vipa", "think3d")

__all__ = [
    "POSE_WIDTH",
    "ROUTES",
    "ContextConfig",
    "EncoderConfig",
    "ExpertConfig",
    "GearConfig",
    "PolicyConfig",
    "TextConfig",
    "Think3dConfig",
    "VipaConfig",
    "Vla3dConfig",
]


def _heads_problem(width: int, heads: int) -> list[str]:
    return [f"'width' is {width}; expected a multiple of 'heads' ({heads})"] if width % max(heads, 1) else []


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig:
    """Image encoder: `vit` (patch embedding and transformer blocks) or `conv` (strided residual stages)."""

    kind: str = "vit"
    patch: int = 16  # px between token centres
    width: int = 96
    depth: int = 3
    heads: int = 4
    mlp_ratio: float = 4.0

    def problems(self) -> list[str]:
        """Say what is out of range."""
        found = too_small(self, {"patch": 1, "width": 1, "depth": 1, "heads": 1, "mlp_ratio": 0.5})
        found += _heads_problem(self.width, self.heads)
        if self.kind not in ("vit", "conv"):
            found.append(f"'kind' is '{self.kind}'; expected vit or conv")
        if self.kind == "conv" and self.patch not in (8, 16, 32):
            found.append(f"'patch' is {self.patch}; a conv encoder has strides 8, 16 or 32")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class TextConfig:
    """Instruction encoder: `hashed` words into a small transformer, or `embeddings` of an external text encoder."""

    kind: str = "hashed"
    buckets: int = 512  # hash buckets; token 0 is padding
    length: int = 16  # words, or external tokens
    embedding_width: int = 0  # of the external encoder; 0 for hashed
    width: int = 64
    depth: int = 1
    heads: int = 4

    def problems(self) -> list[str]:
        """Say what is out of range."""
        found = too_small(self, {"buckets": 2, "length": 1, "width": 1, "depth": 0, "heads": 1})
        found += _heads_problem(self.width, self.heads)
        if self.kind not in ("hashed", "embeddings"):
            found.append(f"'kind' is '{self.kind}'; expected hashed or embeddings")
        if (self.kind == "embeddings") != (self.embedding_width > 0):
            found.append(f"'embedding_width' is {self.embedding_width}; expected above 0 with 'embeddings' only")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextConfig:
    """The small "VLM": one transformer over visual, prompt, text, state and query tokens."""

    width: int = 96
    depth: int = 2
    heads: int = 4
    mlp_ratio: float = 4.0

    def problems(self) -> list[str]:
        """Say what is out of range."""
        least = {"width": 1, "depth": 1, "heads": 1, "mlp_ratio": 0.5}
        return too_small(self, least) + _heads_problem(self.width, self.heads)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertConfig:
    """Flow-matching action expert: an adaLN diffusion transformer over the chunk's steps."""

    width: int = 96
    depth: int = 3
    heads: int = 4
    mlp_ratio: float = 4.0
    guidance_eps: float = 1e-3  # keeps the guidance weight finite at tau 0 and 1

    def problems(self) -> list[str]:
        """Say what is out of range."""
        found = too_small(self, {"width": 2, "depth": 1, "heads": 1, "mlp_ratio": 0.5})
        if not self.guidance_eps > 0:
            found.append(f"'guidance_eps' is {self.guidance_eps}; expected above 0")
        if self.width % 2:
            found.append(f"'width' is {self.width}; expected an even number (sine and cosine of the flow time)")
        return found + _heads_problem(self.width, self.heads)


@dataclass(frozen=True, slots=True, kw_only=True)
class DropConfig:
    """Attention-level modality dropping in training (GEAR-VLA App. A): probabilities, the rest drops nothing."""

    wrist: float = 0.2
    state: float = 0.2
    both: float = 0.2

    def problems(self) -> list[str]:
        """Say what is out of range."""
        found = too_small(self, {"wrist": 0, "state": 0, "both": 0})
        if self.wrist + self.state + self.both > 1:
            found.append(f"probabilities sum to {self.wrist + self.state + self.both}; expected 1 or less")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyConfig:
    """One policy network: trunk, and the route by which 3D reaches the actions."""

    route: str = "trunk"
    image_size: tuple[int, int] = (96, 96)  # height, width in px; every view is resized to it
    views: tuple[str, ...] = ("head", "wrist_left", "wrist_right")
    wrist_views: tuple[str, ...] = ("wrist_left", "wrist_right")  # what training drops as "wrist"
    arms: tuple[str, ...] = ("left", "right")  # slots; a single arm fills the first
    max_joints: int = 8
    embodiments: tuple[str, ...] = ("any",)  # one state projector each; the index is the graph's input
    chunk: int = 30  # steps K
    uses_prompt: bool = False  # a mask-guided prompt frame beside the views (GEAR-VLA App. F)
    encoder: EncoderConfig = EncoderConfig()
    text: TextConfig = TextConfig()
    context: ContextConfig = ContextConfig()
    expert: ExpertConfig = ExpertConfig()
    drop: DropConfig = DropConfig()
    vla3d: Vla3dConfig | None = field(default=None)
    gear: GearConfig | None = field(default=None)
    vipa: VipaConfig | None = field(default=None)
    think3d: Think3dConfig | None = field(default=None)

    def __post_init__(self) -> None:
        if problems := self.problems():
            raise ConfigError(join_problems("policy config", problems))

    @property
    def width(self) -> int:
        """Width C of every context token, so of what a route gets and gives."""
        return self.context.width

    @property
    def grid(self) -> tuple[int, int]:
        """Visual tokens of one view: rows, columns."""
        return self.image_size[0] // self.encoder.patch, self.image_size[1] // self.encoder.patch

    @property
    def action_width(self) -> int:
        """Numbers per chunk step: all arm slots."""
        return len(self.arms) * POSE_WIDTH

    @property
    def state_width(self) -> int:
        """Numbers of one arm's state."""
        return POSE_WIDTH + self.max_joints

    @property
    def uses_depth(self) -> bool:
        """Whether aligned depth is an input."""
        return self.vla3d is not None and self.vla3d.token_depth != "predicted"

    @property
    def uses_geometry(self) -> bool:
        """Whether intrinsics, camera poses and end-effector poses are inputs."""
        return self.vla3d is not None

    def problems(self) -> list[str]:
        """Say everything that is out of range or contradicts."""
        found = too_small(self, {"max_joints": 1, "chunk": 1})
        for name in ("views", "arms", "embodiments"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                found.append(f"'{name}' is {list(values)}; expected one or more distinct names")
        if missing := set(self.wrist_views) - set(self.views):
            found.append(f"'wrist_views' names {sorted(missing)}; available views: {list(self.views)}")
        patches = [("encoder", self.encoder.patch)]
        patches += [(name, route.spatial.patch) for name in ("gear", "vipa") if (route := getattr(self, name))]
        for name, patch in patches:
            if patch > 0 and any(size < patch or size % patch for size in self.image_size):
                found.append(
                    f"'image_size' is {list(self.image_size)}; expected multiples of {name}'s patch {patch} px"
                )
        if self.gear is not None and self.gear.spatial.patch != self.encoder.patch:
            found.append("'gear.spatial.patch' must be the encoder's: 2D and 3D features are concatenated per token")
        return found + self._section_problems()

    def _section_problems(self) -> list[str]:
        found = []
        for name in ("encoder", "text", "context", "expert", "drop", *ROUTES[1:]):
            if (section := getattr(self, name)) is not None:
                found += [f"'{name}': {problem}" for problem in section.problems()]
        if self.route not in ROUTES:
            found.append(f"'route' is '{self.route}'; expected one of {list(ROUTES)}")
        for name in ROUTES[1:]:
            if (getattr(self, name) is not None) != (name == self.route):
                verb = "needs" if name == self.route else "must not have"
                found.append(f"route '{self.route}' {verb} a section '{name}'")
        if self.think3d is not None and max(self.think3d.adapter_layers, default=0) >= self.context.depth:
            found.append(
                f"'think3d.adapter_layers' is {list(self.think3d.adapter_layers)}; "
                f"the context transformer has {self.context.depth} layers"
            )
        return found

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values for a manifest: every field, and of the routes only the one in use."""
        mapping = dataclass_to_mapping(self)
        return {key: value for key, value in mapping.items() if key not in ROUTES or value is not None}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> PolicyConfig:
        """Read what `to_mapping` wrote.

        Raises:
            ConfigError: Lists every missing, unknown, mistyped or contradicting value.
        """
        problems: list[str] = []
        values = read_dataclass(cls, mapping, problems, optional=ROUTES[1:])
        draft = object.__new__(cls)
        for entry in dataclasses.fields(cls):
            object.__setattr__(draft, entry.name, values[entry.name])
        problems += [problem for problem in draft.problems() if problem not in problems]
        if problems:
            raise ConfigError(join_problems("policy config", problems))
        return draft
