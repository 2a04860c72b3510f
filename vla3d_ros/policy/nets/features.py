"""What flows between the parts of a policy network. B batch, V views, N tokens a view, C width, A arm slots."""

from __future__ import annotations

from typing import NamedTuple

from vla3d_ros.policy.nets.pytorch import Tensor


class ContextInputs(NamedTuple):
    """Inputs of the context graph; what the configuration does not use is None.

    images (B, V, H, W, 3) uint8 RGB; view_mask (B, V) bool; K (B, V, 3, 3) px of the resized images; T_base_camera
    (B, V, 4, 4) m; depth_m (B, V, H, W), 0.0 where there is none; state (B, A, 10 + J) normalised [p, rot6d, gripper,
    q]; state_mask (B, A) bool; T_base_ee (B, A, 4, 4) m; arm_mask (B, A) bool; embodiment (B,) int64; text_tokens
    (B, L) int64 or text_embeddings (B, L, Dt), with text_mask (B, L) bool; prompt_image (B, H, W, 3) uint8 and
    prompt_mask (B,) bool.
    """

    images: Tensor
    view_mask: Tensor
    state: Tensor
    state_mask: Tensor
    arm_mask: Tensor
    embodiment: Tensor
    text_mask: Tensor
    text_tokens: Tensor | None = None
    text_embeddings: Tensor | None = None
    K: Tensor | None = None
    T_base_camera: Tensor | None = None
    depth_m: Tensor | None = None
    T_base_ee: Tensor | None = None
    prompt_image: Tensor | None = None
    prompt_mask: Tensor | None = None


class VisualFeatures(NamedTuple):
    """Visual tokens of the trunk, row by row of each view.

    tokens (B, V, N, C) in the context's width, exactly 0 where masked; grid = rows, columns (N = rows * columns);
    token_mask (B, V, N) bool.
    """

    tokens: Tensor
    grid: tuple[int, int]
    token_mask: Tensor


class RouteOutput(NamedTuple):
    """What a spatial route hands back to the trunk.

    visual_tokens (B, V, N, C) take the place of the trunk's; extra_tokens (B, M, C) with extra_mask (B, M) bool are
    concatenated with them in front of the action expert. display: outputs of the context graph for people to look at.
    aux: what losses need.
    """

    visual_tokens: Tensor
    extra_tokens: Tensor
    extra_mask: Tensor
    display: dict[str, Tensor]
    aux: dict[str, Tensor]


class Context(NamedTuple):
    """What the action expert reads, computed once per observation; D is the expert's width, N the tokens it reads.

    context_k, context_v (B, layers, N, D); context_mask (B, N) bool; condition (B, D). display and aux as the route's.
    """

    context_k: Tensor
    context_v: Tensor
    context_mask: Tensor
    condition: Tensor
    display: dict[str, Tensor]
    aux: dict[str, Tensor]


class StepInputs(NamedTuple):
    """Inputs of the step graph. K steps, A arm slots, D and N as in `Context`.

    x, previous (B, K, A*10) normalised; tau, dt, beta (B,); context_k, context_v (B, layers, N, D), context_mask
    (B, N), condition (B, D); arm_mask (B, A); weights (B, K), 0 is no guidance; prefix_mask (B, K) bool.
    """

    x: Tensor
    tau: Tensor
    dt: Tensor
    context_k: Tensor
    context_v: Tensor
    context_mask: Tensor
    condition: Tensor
    arm_mask: Tensor
    previous: Tensor
    weights: Tensor
    beta: Tensor
    prefix_mask: Tensor
