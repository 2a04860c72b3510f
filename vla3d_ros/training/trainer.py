"""A run: recipe and demonstrations in, weights and figures out, in a folder from which it can be continued."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path

import numpy as np

from vla3d_ros.errors import TrainingError
from vla3d_ros.policy.action_decoder import ActionDecoder
from vla3d_ros.policy.manifest import ActionSpec
from vla3d_ros.policy.nets.pytorch import Tensor
from vla3d_ros.policy.packaging import DT_NS
from vla3d_ros.training.checkpoint import (
    RunState,
    current_state,
    latest_checkpoint,
    read_state,
    read_tensors,
    require_same_run,
    save_checkpoint,
)
from vla3d_ros.training.data import Batches, TrainingData
from vla3d_ros.training.device import choose_device
from vla3d_ros.training.journal import Entry, Journal
from vla3d_ros.training.learner import Learner
from vla3d_ros.training.normalisation import measure_normalisation
from vla3d_ros.training.order import SampleOrder, pass_generator, validation_generator
from vla3d_ros.training.recipe import Recipe
from vla3d_ros.training.recipe_file import recipe_sha256
from vla3d_ros.training.samples import Batch, Normalisation
from vla3d_ros.training.tensors import to_tensors
from vla3d_ros.training.validation import chunk_error, predict_chunks, scene_error

JOURNAL, CHECKPOINTS, NORMALISATION = "journal.jsonl", "checkpoints", "normalisation.json"


class Trainer:
    """Runs a recipe; the same recipe, demonstrations, torch and threads give the same bits, interrupted or not."""

    def __init__(self, recipe: Recipe, data: TrainingData, folder: Path) -> None:
        """Prepare a new run.

        Args:
            recipe: What to do.
            data: What to learn from.
            folder: Of the run; exists.
        """
        self.recipe, self.data, self._folder = recipe, data, folder
        self.device = choose_device(recipe.optimiser)
        self.normalisation = _known_normalisation(folder, data)
        self.step = 0
        self._learner = Learner(recipe, self.device)
        self._learner.enter(recipe.stages[0])
        self.batches = Batches(data, recipe.network, self.normalisation)
        self._ahead: tuple[int, Future[Batch] | None] = 0, None
        self._order = SampleOrder(indices=data.training, batch=recipe.optimiser.batch, seed=recipe.seed)
        self._journal = Journal(folder / JOURNAL)
        self._decoder = ActionDecoder(
            action_spec(recipe, self.normalisation), recipe.network.arms, {slot: slot for slot in recipe.data.arms}
        )

    @property
    def learner(self) -> Learner:
        """The network and what moves it."""
        return self._learner

    def resume(self) -> None:
        """Go back to the last checkpoint in the folder.

        Raises:
            TrainingError: If there is none, or it belongs to another recipe, demonstrations, torch or device.
        """
        checkpoint = latest_checkpoint(self._folder / CHECKPOINTS)
        state = read_state(checkpoint)
        require_same_run(state, self._state())
        self.step = state.step
        last = self.recipe.steps - 1
        index, first = self.recipe.stage_at(min(state.step, last))
        self._learner.enter(self.recipe.stages[index])
        self._learner.restore(read_tensors(checkpoint, self.device.name), with_optimiser=state.step > first)
        self._journal.cut_after(state.step)

    def run(self, watch: Callable[[Entry], None]) -> None:
        """Take all steps that are left.

        Args:
            watch: Hears of every line of the journal.

        Raises:
            TrainingError: If a loss is not finite; names step and losses.
        """
        while self.step < self.recipe.steps:
            index, first = self.recipe.stage_at(self.step)
            stage = self.recipe.stages[index]
            if self.step == first and self.step:
                self._learner.enter(stage)
            try:
                figures = self._take_step(first)
            except TrainingError as error:
                raise TrainingError(f"step {self.step}: {error}") from error
            self.step += 1
            self._note(watch, Entry(step=self.step, stage=stage.name, kind="training", figures=figures))
            is_last = self.step == first + stage.steps
            every = self.recipe.watch.validate_every
            if every and (is_last or self.step % every == 0):
                found = self.validate()
                self._note(watch, Entry(step=self.step, stage=stage.name, kind="validation", figures=found))
            if is_last or self.step % self.recipe.watch.checkpoint_every == 0:
                save_checkpoint(self._folder / CHECKPOINTS, self._state(), self._learner.tensors())

    def validate(self) -> dict[str, float]:
        """Compare chunks with the teacher's on held-out samples, with the same noise every time.

        Returns:
            The fields of `ChunkError` and `SceneError` by name, those that are known.
        """
        network, watch = self.recipe.network, self.recipe.watch
        held_out = self.data.held_out
        count = min(watch.validation_samples, len(held_out))
        chosen = held_out[np.linspace(0, len(held_out) - 1, count).round().astype(np.int64)]
        rng = validation_generator(self.recipe.seed)
        net = self._learner.shown.eval()
        expected, got, shown, batches = [], [], [], []
        for start in range(0, count, self.recipe.optimiser.batch):
            arrays = self.batches(chosen[start : start + self.recipe.optimiser.batch])
            batch = to_tensors(network, arrays, self.device.name)
            noise = rng.standard_normal(arrays["actions"].shape, dtype=np.float32)
            chunks, display = predict_chunks(net, batch, noise, watch.flow_steps)
            expected.append(arrays["actions"])
            got.append(chunks)
            shown.append(display)
            batches.append(batch)
        chunks_off = chunk_error(self._decoder, np.concatenate(expected), np.concatenate(got))
        figures = {**asdict(chunks_off), **asdict(scene_error(shown, batches))}
        return {name: value for name, value in figures.items() if not np.isnan(value)}

    def _take_step(self, first: int) -> dict[str, float]:
        config = self.recipe.optimiser
        summed: dict[str, Tensor] = {}
        for turn in range(config.accumulate):
            number = self.step * config.accumulate + turn
            arrays = self._next_batch(number)
            batch = to_tensors(self.recipe.network, arrays, self.device.name)
            losses = self._learner.add_gradients(batch, pass_generator(self.recipe.seed, number))
            for name, term in {"loss": losses.total.detach(), **losses.terms}.items():
                summed[name] = summed[name] + term if name in summed else term
        norm = self._learner.step(self.step - first)
        return {**{name: float(term) / config.accumulate for name, term in summed.items()}, "gradient": norm}

    def _next_batch(self, number: int) -> Batch:
        """Return the batch of a pass, and start on that of the next."""
        known, batch = self._ahead
        if batch is None or known != number:
            batch = self.batches.ahead(self._order.pass_indices(number))
        arrays = batch.result()
        self._ahead = number + 1, self.batches.ahead(self._order.pass_indices(number + 1))
        return arrays

    def _note(self, watch: Callable[[Entry], None], entry: Entry) -> None:
        self._journal.write(entry)
        watch(entry)

    def _state(self) -> RunState:
        where = f"{self.device.name} {self.device.precision}"
        return current_state(self.step, recipe_sha256(self.recipe), self.data.sha256, where)


def action_spec(recipe: Recipe, normalisation: Normalisation) -> ActionSpec:
    """Return the chunk that the network learns."""
    return ActionSpec(
        steps=recipe.network.chunk, dt_ns=DT_NS, mean=normalisation.action_mean, std=normalisation.action_std
    )


def _known_normalisation(folder: Path, data: TrainingData) -> Normalisation:
    """Measure the normalisation once per run; a resumed run reads what the first one found."""
    path = folder / NORMALISATION
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        return Normalisation(**{name: np.array(values) for name, values in found.items()})
    measured = measure_normalisation(data.numbers, data.training.tolist())
    names = ("state_mean", "state_std", "action_mean", "action_std")
    values = {name: getattr(measured, name).tolist() for name in names}
    path.write_text(json.dumps(values) + "\n", encoding="utf-8")
    return measured
