"""Names, shapes and types of the two graphs' inputs and outputs. Knows no torch."""

from __future__ import annotations

from dataclasses import dataclass

from vla3d_ros.policy.nets.config import PolicyConfig


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input: shape with the batch in front, and `uint8`, `bool`, `int64` or `float32`."""

    shape: tuple[int, ...]
    dtype: str


def context_inputs(config: PolicyConfig, batch: int = 1) -> dict[str, TensorSpec]:
    """Return the inputs of the context graph, in the graph's order; only those the configuration uses."""
    (height, width), views, arms = config.image_size, len(config.views), len(config.arms)
    specs = {
        "images": TensorSpec((batch, views, height, width, 3), "uint8"),
        "view_mask": TensorSpec((batch, views), "bool"),
    }
    if config.uses_geometry:
        specs["K"] = TensorSpec((batch, views, 3, 3), "float32")
        specs["T_base_camera"] = TensorSpec((batch, views, 4, 4), "float32")
    if config.uses_depth:
        specs["depth_m"] = TensorSpec((batch, views, height, width), "float32")
    specs["state"] = TensorSpec((batch, arms, config.state_width), "float32")
    specs["state_mask"] = TensorSpec((batch, arms), "bool")
    if config.uses_geometry:
        specs["T_base_ee"] = TensorSpec((batch, arms, 4, 4), "float32")
    specs["arm_mask"] = TensorSpec((batch, arms), "bool")
    specs["embodiment"] = TensorSpec((batch,), "int64")
    if config.text.kind == "hashed":
        specs["text_tokens"] = TensorSpec((batch, config.text.length), "int64")
    else:
        specs["text_embeddings"] = TensorSpec((batch, config.text.length, config.text.embedding_width), "float32")
    specs["text_mask"] = TensorSpec((batch, config.text.length), "bool")
    if config.uses_prompt:
        specs["prompt_image"] = TensorSpec((batch, height, width, 3), "uint8")
        specs["prompt_mask"] = TensorSpec((batch,), "bool")
    return specs


def display_outputs(config: PolicyConfig, batch: int = 1) -> dict[str, TensorSpec]:
    """Return what the context graph gives people to look at, in the graph's order; empty for most routes."""
    if config.vla3d is None:
        return {}
    instances, points = config.vla3d.instances, config.vla3d.completion_points
    return {
        "instance_points": TensorSpec((batch, instances, 3), "float32"),
        "instance_scores": TensorSpec((batch, instances), "float32"),
        "instance_mask": TensorSpec((batch, instances), "bool"),
        "completion_points": TensorSpec((batch, points, 3), "float32"),
        "completion_mask": TensorSpec((batch, points), "bool"),
    }


def context_tokens(config: PolicyConfig) -> int:
    """Tokens N the action expert reads."""
    if config.gear is not None:
        return config.gear.latent_tokens
    if config.vipa is not None:
        return config.vipa.action_queries
    if config.think3d is not None:
        return config.think3d.action_queries
    rows, columns = config.grid
    tokens = (len(config.views) + int(config.uses_prompt)) * rows * columns + config.text.length + len(config.arms)
    if config.vla3d is not None:
        tokens += config.vla3d.instances + config.vla3d.completion_points
    return tokens


def context_outputs(config: PolicyConfig, batch: int = 1) -> dict[str, TensorSpec]:
    """Return the outputs of the context graph, in the graph's order; the first four are inputs of the step graph."""
    tokens, width, layers = context_tokens(config), config.expert.width, config.expert.depth
    return {
        "context_k": TensorSpec((batch, layers, tokens, width), "float32"),
        "context_v": TensorSpec((batch, layers, tokens, width), "float32"),
        "context_mask": TensorSpec((batch, tokens), "bool"),
        "condition": TensorSpec((batch, width), "float32"),
        **display_outputs(config, batch),
    }


def step_inputs(config: PolicyConfig, batch: int = 1) -> dict[str, TensorSpec]:
    """Return the inputs of the step graph, in the graph's order."""
    chunk = (batch, config.chunk, config.action_width)
    context = context_outputs(config, batch)
    return {
        "x": TensorSpec(chunk, "float32"),
        "tau": TensorSpec((batch,), "float32"),
        "dt": TensorSpec((batch,), "float32"),
        **{name: context[name] for name in ("context_k", "context_v", "context_mask", "condition")},
        "arm_mask": TensorSpec((batch, len(config.arms)), "bool"),
        "previous": TensorSpec(chunk, "float32"),
        "weights": TensorSpec(chunk[:2], "float32"),
        "beta": TensorSpec((batch,), "float32"),
        "prefix_mask": TensorSpec(chunk[:2], "bool"),
    }


def step_outputs(config: PolicyConfig, batch: int = 1) -> dict[str, TensorSpec]:
    """Return the output of the step graph."""
    return {"x_next": TensorSpec((batch, config.chunk, config.action_width), "float32")}
