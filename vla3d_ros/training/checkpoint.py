"""Where a run stands, on disk: tensors as safetensors, the rest as JSON, nothing pickled, never half written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from vla3d_ros.errors import DependencyError, TrainingError, join_problems
from vla3d_ros.policy.nets.pytorch import Tensor, torch

_TENSORS, _STATE = "tensors.safetensors", "state.json"
_KEPT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """What is no tensor.

    Attributes:
        step: Steps taken, of all stages.
        recipe_sha256: Of the recipe; another one can not continue the run.
        data_sha256: Of the demonstrations' manifest.
        torch: Version; another one may compute other bits.
        threads: Of torch; likewise.
        device: Name and precision.
    """

    step: int
    recipe_sha256: str
    data_sha256: str
    torch: str
    threads: int
    device: str


def save_checkpoint(folder: Path, state: RunState, tensors: Mapping[str, Tensor]) -> Path:
    """Write a checkpoint beside the others, then forget all but the last two.

    Args:
        folder: Of the run's checkpoints.
        state: What is no tensor.
        tensors: By name.

    Returns:
        Its folder.

    Raises:
        DependencyError: If safetensors is not installed.
    """
    try:
        from safetensors.torch import save_file
    except ImportError as error:
        raise DependencyError("checkpoints are safetensors: pip install 'vla3d_ros[nets]'") from error
    final = folder / f"step_{state.step:07d}"
    draft = folder / f".{final.name}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, str(draft / _TENSORS))
    (draft / _STATE).write_text(json.dumps(asdict(state), indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(final, ignore_errors=True)
    draft.replace(final)
    for old in sorted(folder.glob("step_*"))[:-_KEPT]:
        shutil.rmtree(old)
    return final


def latest_checkpoint(folder: Path) -> Path:
    """Return the checkpoint with the most steps.

    Raises:
        TrainingError: If there is none.
    """
    found = sorted(path for path in folder.glob("step_*") if (path / _STATE).is_file())
    if not found:
        raise TrainingError(f"{folder} holds no checkpoint: the run ended before its first; start it anew")
    return found[-1]


def read_state(checkpoint: Path) -> RunState:
    """Read what is no tensor.

    Raises:
        TrainingError: If it is not what was written.
    """
    try:
        return RunState(**json.loads((checkpoint / _STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(f"{checkpoint / _STATE} is not the state of a run: {error}") from error


def read_tensors(checkpoint: Path, device: str) -> dict[str, Tensor]:
    """Read the tensors.

    Raises:
        TrainingError: If the file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(str(checkpoint / _TENSORS), device=device)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{checkpoint / _TENSORS} can not be read: {error}") from error
    return tensors


def require_same_run(state: RunState, expected: RunState) -> None:
    """Refuse to continue a run with something else.

    Args:
        state: Of the checkpoint.
        expected: What would continue it; `step` is not compared.

    Raises:
        TrainingError: Lists what differs.
    """
    wrong = [
        f"'{name}' was {getattr(state, name)!r}, is now {getattr(expected, name)!r}"
        for name in ("recipe_sha256", "data_sha256", "torch", "threads", "device")
        if getattr(state, name) != getattr(expected, name)
    ]
    if wrong:
        subject = "this run can not be continued to the same end; start a new one, or restore what changed"
        raise TrainingError(join_problems(subject, wrong))


def current_state(step: int, recipe_sha256: str, data_sha256: str, device: str) -> RunState:
    """Return the state of a run in this process."""
    return RunState(
        step=step,
        recipe_sha256=recipe_sha256,
        data_sha256=data_sha256,
        torch=str(torch.__version__),
        threads=torch.get_num_threads(),
        device=device,
    )
