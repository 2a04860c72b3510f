"""Named sizes: `tiny` for tests, `small` for a CPU, `paper` as published, `pi05_class` for timing a GPU."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from vla3d_ros.errors import ConfigError
from vla3d_ros.policy.nets.config import (
    ContextConfig,
    EncoderConfig,
    ExpertConfig,
    GearConfig,
    PolicyConfig,
    TextConfig,
    Think3dConfig,
    VipaConfig,
    Vla3dConfig,
)
from vla3d_ros.policy.nets.route_configs import SpatialEncoderConfig

_TINY = PolicyConfig(
    image_size=(96, 96),
    encoder=EncoderConfig(width=64, depth=2, heads=4, mlp_ratio=2.0),
    text=TextConfig(buckets=512, length=16, width=32, depth=1, heads=4),
    context=ContextConfig(width=64, depth=2, heads=4, mlp_ratio=2.0),
    expert=ExpertConfig(width=64, depth=2, heads=4, mlp_ratio=2.0),
)
_SMALL = PolicyConfig(
    image_size=(128, 128),
    encoder=EncoderConfig(width=192, depth=4, heads=6, mlp_ratio=2.0),
    text=TextConfig(buckets=4096, length=16, width=64, depth=2, heads=4),
    context=ContextConfig(width=192, depth=2, heads=6, mlp_ratio=2.0),
    expert=ExpertConfig(width=192, depth=4, heads=6, mlp_ratio=2.0),
)
_PAPER = PolicyConfig(
    image_size=(224, 224),
    encoder=EncoderConfig(width=768, depth=12, heads=12),
    text=TextConfig(buckets=32768, length=32, width=256, depth=4, heads=4),
    context=ContextConfig(width=1024, depth=8, heads=16),
    expert=ExpertConfig(width=512, depth=8, heads=8),
)
# A 2-3 B vision-language model (a 0.4 B patch-14 ViT, 18 wide layers) with a 0.3 B action expert.
_PI05_CLASS = PolicyConfig(
    image_size=(224, 224),
    encoder=EncoderConfig(patch=14, width=1152, depth=27, heads=16, mlp_ratio=3.736),
    text=TextConfig(buckets=257152, length=48, width=512, depth=2, heads=8),
    context=ContextConfig(width=2048, depth=18, heads=16, mlp_ratio=12.0),
    expert=ExpertConfig(width=1024, depth=13, heads=16),
)

_VLA3D_TINY = Vla3dConfig(
    probe_lower_m=(0.1, -0.5, 0.0),
    probe_upper_m=(0.9, 0.5, 0.4),
    width=64,
    heads=4,
    mlp_ratio=2.0,
    depth_bins=16,
    fusion_layers=1,
    probes=24,
    decoder_layers=1,
    sampling_heads=4,
    sampling_points=2,
    completion_blocks=1,
    neighbours=4,
    fourier_frequencies=4,
    mask_width=32,
    observed_per_view=16,
    kept_candidates=16,
)
_VLA3D_SMALL = Vla3dConfig(
    probe_lower_m=(0.1, -0.5, 0.0),
    probe_upper_m=(0.9, 0.5, 0.4),
    width=192,
    heads=6,
    mlp_ratio=2.0,
    depth_bins=32,
    fusion_layers=1,
    probes=64,
    decoder_layers=2,
    sampling_heads=6,
    sampling_points=2,
    completion_blocks=1,
    observed_per_view=24,
)
_VLA3D_PAPER = Vla3dConfig(width=768, heads=12, sampling_heads=12, fusion_layers=4, decoder_layers=3)

_SPATIAL_TINY = SpatialEncoderConfig(width=48, depth=2, heads=4, mlp_ratio=2.0)
_SPATIAL_SMALL = SpatialEncoderConfig(width=128, depth=2, heads=4, mlp_ratio=2.0)

_PRESETS: Mapping[str, PolicyConfig] = {
    "tiny_trunk": _TINY,
    "tiny_vla3d": dataclasses.replace(_TINY, route="vla3d", vla3d=_VLA3D_TINY),
    "tiny_gear": dataclasses.replace(_TINY, route="gear", uses_prompt=True, gear=GearConfig(spatial=_SPATIAL_TINY)),
    "tiny_vipa": dataclasses.replace(_TINY, route="vipa", vipa=VipaConfig(spatial=_SPATIAL_TINY, fusion_width=64)),
    "tiny_think3d": dataclasses.replace(_TINY, route="think3d", think3d=Think3dConfig(geometry_width=48)),
    "small_trunk": _SMALL,
    "small_vla3d": dataclasses.replace(_SMALL, route="vla3d", vla3d=_VLA3D_SMALL),
    "small_gear": dataclasses.replace(_SMALL, route="gear", uses_prompt=True, gear=GearConfig(spatial=_SPATIAL_SMALL)),
    "small_vipa": dataclasses.replace(_SMALL, route="vipa", vipa=VipaConfig(spatial=_SPATIAL_SMALL, fusion_width=192)),
    "small_think3d": dataclasses.replace(
        _SMALL, route="think3d", think3d=Think3dConfig(adapter_width=64, geometry_width=128)
    ),
    "paper": dataclasses.replace(_PAPER, route="vla3d", vla3d=_VLA3D_PAPER),
    "pi05_class": _PI05_CLASS,
    "pi05_class_vla3d": dataclasses.replace(_PI05_CLASS, route="vla3d", vla3d=_VLA3D_PAPER),
}
_SHORT = {"tiny": "tiny_vla3d", "small": "small_vla3d"}


def presets() -> dict[str, PolicyConfig]:
    """Return every named configuration; `tiny` and `small` are those of the vla3d route."""
    return {**_PRESETS, **{short: _PRESETS[name] for short, name in _SHORT.items()}}


def preset(name: str) -> PolicyConfig:
    """Return a named configuration.

    Raises:
        ConfigError: If there is none of that name; lists what there is.
    """
    available = presets()
    if name not in available:
        raise ConfigError(f"unknown policy preset '{name}'; available: {sorted(available)}")
    return available[name]
