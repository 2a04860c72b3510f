"""What all four routes share in front of the action expert: seeing, reading, sensing the robot, and mixing it."""

from __future__ import annotations

from typing import NamedTuple

from vla3d_ros.policy.nets.config import PolicyConfig
from vla3d_ros.policy.nets.context_transformer import ContextTransformer
from vla3d_ros.policy.nets.features import ContextInputs, VisualFeatures
from vla3d_ros.policy.nets.image_encoder import ImageEncoder
from vla3d_ros.policy.nets.instruction_encoder import InstructionEncoder
from vla3d_ros.policy.nets.modality_drop import ModalityDrop
from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch
from vla3d_ros.policy.nets.state_projector import StateProjector


class Prefix(NamedTuple):
    """Tokens the context transformer starts from: views, prompt frame, instruction, robot states, in this order.

    tokens (B, P, C), zero where masked; mask (B, P) bool; dropped (B, P) bool or None, what training hides from the
    expert; visual: how many come from views; asked: how many at the end are instruction and states; states (B, A, C)
    and state_mask (B, A) once more, as projected.
    """

    tokens: Tensor
    mask: Tensor
    dropped: Tensor | None
    visual: int
    asked: int
    states: Tensor
    state_mask: Tensor


class Trunk(nn.Module):
    """Image encoder, projector, instruction encoder, state projector, context transformer.

    Views carry no number: permuting them permutes tokens and changes nothing else.
    """

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.image_encoder = ImageEncoder(config.encoder, config.image_size)
        self.visual_projector = nn.Linear(config.encoder.width, config.width)
        self.instruction_encoder = InstructionEncoder(config.text, config.width)
        self.state_projector = StateProjector(config)
        self.transformer = ContextTransformer(config.context)
        self.prompt_kind: nn.Parameter | None = None
        if config.uses_prompt:
            self.prompt_kind = nn.Parameter(0.02 * torch.randn(1, 1, config.width))

    def see(self, inputs: ContextInputs) -> VisualFeatures:
        """Encode every view for itself; the tokens of a masked view are exactly zero, whatever its pixels."""
        batch, views = inputs.images.shape[:2]
        tokens = self.visual_projector(self.image_encoder(inputs.images.flatten(0, 1)))
        tokens = tokens.reshape(batch, views, *tokens.shape[1:])
        mask = inputs.view_mask[:, :, None].expand(-1, -1, tokens.shape[2])
        tokens = torch.where(mask[..., None], tokens, 0.0)
        return VisualFeatures(tokens=tokens, grid=self.image_encoder.grid, token_mask=mask)

    def prefix(
        self, visual: Tensor, token_mask: Tensor, inputs: ContextInputs, drop: ModalityDrop | None, *, has_states: bool
    ) -> Prefix:
        """Put what is known in a row.

        Args:
            visual: (B, V, N, C) tokens of the views, the trunk's or a route's.
            token_mask: (B, V, N) bool.
            inputs: Prompt, instruction and robot states.
            drop: What training hides from queries and expert.
            has_states: Whether robot states are among the tokens.
        """
        state_mask = inputs.state_mask & inputs.arm_mask
        states = self.state_projector(inputs.state, inputs.embodiment, state_mask)
        words = self._words(inputs)
        prompt, prompt_mask = self._prompt(inputs)
        asked, asked_mask = [words], [inputs.text_mask]
        if has_states:
            asked, asked_mask = [words, states], [inputs.text_mask, state_mask]
        tokens = torch.cat([visual.flatten(1, 2), *prompt, *asked], dim=1)
        mask = torch.cat([token_mask.flatten(1, 2), *prompt_mask, *asked_mask], dim=1)
        dropped = None
        if drop is not None:
            views = drop.views[:, :, None].expand_as(token_mask).flatten(1, 2)
            kept = [torch.zeros_like(one) for one in (*prompt_mask, inputs.text_mask)]
            dropped = torch.cat([views, *kept, *([drop.states] if has_states else [])], dim=1)
        return Prefix(
            tokens=tokens,
            mask=mask,
            dropped=dropped,
            visual=visual.shape[1] * visual.shape[2],
            asked=sum(one.shape[1] for one in asked),
            states=states,
            state_mask=state_mask if drop is None else state_mask & ~drop.states,
        )

    def _words(self, inputs: ContextInputs) -> Tensor:
        text = inputs.text_tokens if inputs.text_tokens is not None else inputs.text_embeddings
        words: Tensor = self.instruction_encoder(text, inputs.text_mask)
        return words

    def _prompt(self, inputs: ContextInputs) -> tuple[list[Tensor], list[Tensor]]:
        """Encode the mask-guided prompt frame beside the views, marked as such; nothing where the policy has none."""
        if self.prompt_kind is None:
            return [], []
        assert inputs.prompt_image is not None
        assert inputs.prompt_mask is not None
        tokens = self.visual_projector(self.image_encoder(inputs.prompt_image)) + self.prompt_kind
        mask = inputs.prompt_mask[:, None].expand(-1, tokens.shape[1])
        return [torch.where(mask[..., None], tokens, 0.0)], [mask]
