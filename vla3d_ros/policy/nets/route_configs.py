"""What each spatial route leaves open, as fields. Travels in a package's manifest."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


def too_small(config: object, least: dict[str, float]) -> list[str]:
    """Say which fields are below their least value.

    Args:
        config: Any object with the fields.
        least: Least value by field name.

    Returns:
        One sentence per offender.
    """
    values = {name: getattr(config, name) for name in least}
    return [f"'{name}' is {values[name]}; expected {low} or more" for name, low in least.items() if values[name] < low]


_VLA3D_CHOICES = {
    "token_depth": ("aligned", "predicted", "aligned_or_predicted"),
    "proposal": ("mirror", "extrude", "learned"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Vla3dConfig:
    """3DVLA (arXiv 2605.29416): token points, instance probes, completion, geometry aggregation.

    The paper gives: 300 probes, at most 16 instances, 6 x 5 completion points, epsilon 0.01, gate bias -3, strides
    8/16/32 and 1/4, and 0.086 B parameters in all. Everything else here is ours: width, layer and head counts, alpha,
    K, F, tau, frequencies, the scale of coordinates inside RoPE, and how points are denoised, proposed and carved.
    Preset `paper` chooses width and layers so that the route's own parameters come to 0.086 B
    (`vla3d_ros.policy.nets.vla3d.sizes` counts them).
    """

    width: int = 256  # of every token inside the route; projected from and to the trunk's width
    heads: int = 8
    mlp_ratio: float = 4.0
    # Token coordinates: aligned depth where the camera gives it, or the expectation over log-spaced bins.
    token_depth: str = "aligned_or_predicted"  # aligned | predicted | aligned_or_predicted
    depth_step_px: int = 2  # of the median over a token's patch: every so many pixels, along both axes
    depth_bins: int = 64
    nearest_depth_m: float = 0.1
    farthest_depth_m: float = 4.0
    # 3.1 fusion.
    fusion_layers: int = 3
    fusion_rope: bool = True
    rope_base: float = 10000.0
    rope_scale: float = 10.0  # coordinates are metres times this inside RoPE: metres alone barely turn a phase
    # 3.2 probes.
    probes: int = 300
    decoder_layers: int = 3
    probe_lower_m: tuple[float, float, float] = (-1.0, -1.0, -0.2)  # box the reference points start in, base frame
    probe_upper_m: tuple[float, float, float] = (1.0, 1.0, 1.0)
    sampling_heads: int = 8
    sampling_points: int = 4
    sampling_scales: int = 3  # of the strides 8, 16, 32
    mask_width: int = 64  # channels of the 1/4-scale map
    pixel_frequencies: int = 6  # of PE(u)
    classes: int = 1  # 1: is there an object
    projection_eps_m: float = 0.01
    view_temperature: float = 1.0  # tau_view at initialisation
    refinement_m: float = 0.1  # alpha: the farthest a probe moves per decoder layer and axis
    score_prior: float = 0.1  # score of every probe before training (focal loss needs a low one)
    score_threshold: float = 0.05  # below it a slot stays empty
    instances: int = 16
    mask_threshold: float = 0.5
    # 3.3 completion.
    completes: bool = True  # without: its slots stay empty, and nothing of it is built (the paper's model A)
    occluded_instances: int = 6
    points_per_instance: int = 5
    proposal: str = "mirror"  # mirror | extrude | learned
    depth_per_width: float = 1.0  # how deep a thing is taken to be, in units of its narrower extent across the view
    learned_candidates: int = 64  # points the learned proposal gives per instance
    observed_per_view: int = 32  # points an instance's mask is lifted to in each view
    density_neighbours: int = 3  # a point with fewer is noise
    density_factor: float = 2.5  # radius, in units of the median distance to that neighbour
    cluster_hops: int = 8  # radii from the densest point to the end of the cluster
    least_observed: int = 6  # points; with fewer an instance is not completed
    carve_margin_m: float = 0.02  # a camera that sees this much behind a point looks through it: nothing is there
    least_unseen_m: float = 0.01  # nearer than this to an observed point, a candidate is not unseen
    kept_candidates: int = 32  # farthest from what was observed
    fourier_frequencies: int = 8
    completion_blocks: int = 2
    # 3.4 aggregation.
    routes: bool = True  # without: instances do not gather from completion points (Eq. 15-16; the paper's model B)
    neighbours: int = 8  # K of Eq. 15
    bias_width: int = 64  # hidden width of MLP_bias
    ee_frequencies: int = 6  # F of Eq. 14
    gate_temperature: float = 1.0  # tau of Eq. 16
    gate_bias: float = -3.0

    @property
    def completion_points(self) -> int:
        """Slots for completion points."""
        return self.occluded_instances * self.points_per_instance

    def problems(self) -> list[str]:
        """Say what is out of range."""
        counts = [entry.name for entry in dataclasses.fields(self) if entry.type == "int"]
        found = too_small(self, dict.fromkeys(counts, 1))
        for name, choices in _VLA3D_CHOICES.items():
            if getattr(self, name) not in choices:
                found.append(f"'{name}' is '{getattr(self, name)}'; expected one of {list(choices)}")
        for name in ("score_prior", "score_threshold", "mask_threshold"):
            if not 0 < getattr(self, name) < 1:
                found.append(f"'{name}' is {getattr(self, name)}; expected between 0 and 1")
        for name in ("mlp_ratio", "rope_base", "rope_scale", "projection_eps_m", "view_temperature", "density_factor"):
            if not getattr(self, name) > 0:
                found.append(f"'{name}' is {getattr(self, name)}; expected above 0")
        return found + [sentence for holds, sentence in self._relations() if not holds]

    def _relations(self) -> list[tuple[bool, str]]:
        """Return what must hold between fields, and what to say where it does not."""
        head = self.width // max(self.heads, 1)
        whole = all(self.width % max(heads, 1) == 0 for heads in (self.heads, self.sampling_heads))
        box = zip(self.probe_lower_m, self.probe_upper_m, strict=True)
        points = self.completion_points
        return [
            (whole, f"'width' is {self.width}; expected a multiple of 'heads' and of 'sampling_heads'"),
            (head >= 6, f"a head is {head} wide; RoPE in three axes needs 6 or more"),
            (self.sampling_scales <= 3, f"'sampling_scales' is {self.sampling_scales}; there are strides 8, 16 and 32"),
            (0 < self.nearest_depth_m < self.farthest_depth_m, "0 < 'nearest_depth_m' < 'farthest_depth_m' must hold"),
            (all(low < high for low, high in box), "'probe_lower_m' must be below 'probe_upper_m' on every axis"),
            (
                self.occluded_instances <= self.instances <= self.probes,
                "'occluded_instances' <= 'instances' <= 'probes' must hold",
            ),
            (
                self.observed_per_view > self.density_neighbours,
                "'observed_per_view' must be above 'density_neighbours'",
            ),
            (
                self.kept_candidates >= self.points_per_instance,
                "'kept_candidates' must be at least 'points_per_instance'",
            ),
            (self.completes or not self.routes, "'routes' needs 'completes': there is nothing else to gather from"),
            (self.neighbours <= points, f"'neighbours' is {self.neighbours}; expected at most {points} points"),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpatialEncoderConfig:
    """Our small multi-view spatial encoder at the seam where the papers put VGGT (GEAR) or Cut3R (VIPA)."""

    width: int = 96
    depth: int = 2  # alternately within each view and across views
    heads: int = 4
    mlp_ratio: float = 4.0
    patch: int = 16  # px

    def problems(self) -> list[str]:
        """Say what is out of range."""
        found = too_small(self, {"width": 1, "depth": 1, "heads": 1, "patch": 1})
        if self.width % max(self.heads, 1):
            found.append(f"'width' is {self.width}; expected a multiple of 'heads' ({self.heads})")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class GearConfig:
    """GEAR-VLA (arXiv 2606.08530): zero-initialised 3D connector, latent action tokens as the only bridge."""

    spatial: SpatialEncoderConfig = SpatialEncoderConfig()
    transitions: int = 5  # image transitions of the one-second horizon, at 5 Hz
    codes_per_transition: int = 4
    codebook_groups: int = 2
    codebook_entries: int = 8
    stops_gradient: bool = True  # the flow's loss does not reach the context (gradient decoupling, Eq. 2)

    @property
    def latent_tokens(self) -> int:
        """Latent action tokens the expert reads."""
        return self.transitions * self.codes_per_transition

    def problems(self) -> list[str]:
        """Say what is out of range."""
        names = ("transitions", "codes_per_transition", "codebook_groups", "codebook_entries")
        return [f"'spatial': {problem}" for problem in self.spatial.problems()] + too_small(
            self, dict.fromkeys(names, 1)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VipaConfig:
    """VIPA-VLA: spatial features fused by alpha-scaled cross-attention; action queries condition the expert."""

    spatial: SpatialEncoderConfig = SpatialEncoderConfig()
    fusion_heads: int = 4
    fusion_width: int = 96  # the shared attention space
    alpha: float = 0.5  # at initialisation; learned
    dropout: float = 0.1
    action_queries: int = 16

    def problems(self) -> list[str]:
        """Say what is out of range."""
        found = [f"'spatial': {problem}" for problem in self.spatial.problems()]
        found += too_small(self, {"fusion_heads": 1, "fusion_width": 1, "action_queries": 1, "dropout": 0})
        if self.fusion_width % max(self.fusion_heads, 1):
            found.append(f"'fusion_width' is {self.fusion_width}; expected a multiple of 'fusion_heads'")
        if self.dropout >= 1:
            found.append(f"'dropout' is {self.dropout}; expected below 1")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Think3dConfig:
    """3DThinkVLA (arXiv 2606.04436): adapters on intermediate features and one reasoning anchor token."""

    adapter_layers: tuple[int, ...] = (0, 1)  # context-transformer layers whose visual hidden states are adapted
    adapter_width: int = 32  # bottleneck
    geometry_width: int = 96  # of the geometric features; what a 3D foundation model is aligned to in training
    action_instruction_tokens: int = 4  # learned; behind the anchor, in front of the queries
    action_queries: int = 16

    def problems(self) -> list[str]:
        """Say what is out of range."""
        names = ("adapter_width", "geometry_width", "action_queries", "action_instruction_tokens")
        found = too_small(self, dict.fromkeys(names, 1))
        if not self.adapter_layers or min(self.adapter_layers) < 0:
            found.append(f"'adapter_layers' is {self.adapter_layers}; expected at least one layer, counted from 0")
        return found
