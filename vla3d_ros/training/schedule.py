"""The learning rate: linear warm-up, then half a cosine (3DVLA App. A.3). A function of the step: it has no state."""

from __future__ import annotations

import math


def learning_rate(step: int, steps: int, *, peak: float, final: float, warmup_steps: int) -> float:
    """Return the rate of a step.

    Args:
        step: From 0.
        steps: Of the stage.
        peak: After the warm-up.
        final: After the last step.
        warmup_steps: The rate of step s is `peak (s + 1) / warmup_steps` during them.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(steps - warmup_steps, 1)
    return final + 0.5 * (peak - final) * (1.0 + math.cos(math.pi * min(progress, 1.0)))
