"""A training run at a terminal: begin or resume it, show how it goes, draw its curves, ship what came of it."""

from __future__ import annotations

import argparse
import shutil
from datetime import datetime
from pathlib import Path

import yaml
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from vla3d_ros.errors import ConfigError
from vla3d_ros.resources import config_dir
from vla3d_ros.training.curves import draw_curves
from vla3d_ros.training.demonstration_data import open_demonstrations
from vla3d_ros.training.journal import Entry, Journal
from vla3d_ros.training.recipe import Recipe
from vla3d_ros.training.recipe_file import find_recipe, load_recipe, recipe_to_mapping
from vla3d_ros.training.shipping import ship
from vla3d_ros.training.trainer import JOURNAL, Trainer

RECIPES, RECIPE_FILE, CURVES, PACKAGE = "training", "recipe.yaml", "curves.png", "package"
_UNITS = {"position_mm": "mm", "rotation_deg": "deg", "gripper": "of the stroke", "objects_found": "of the objects"}


def train(options: argparse.Namespace, console: Console) -> int:
    """Run a recipe to its end, or until it is interrupted; it can be resumed then.

    Raises:
        ConfigError: If the recipe is wrong, or the run's folder is taken.
        TrainingError: If the run can not be continued, or a loss is not finite.
    """
    data = None if options.data is None else str(options.data)
    path = find_recipe(options.recipe, config_dir() / RECIPES)
    recipe = load_recipe(path, variant=options.variant, demonstrations=data)
    folder = _begin(recipe, options)
    with console.status(f"opening {recipe.data.demonstrations}"):
        trainer = Trainer(recipe, open_demonstrations(recipe), folder)
    if options.resume is not None:
        trainer.resume()
        console.print(f"resumed {folder} at step {trainer.step} of {recipe.steps}")
    _describe(trainer, folder, console)
    try:
        _run(trainer, console)
    except KeyboardInterrupt:
        console.print(f"continue with: vla3d train {options.recipe} --resume {folder}", soft_wrap=True)
        raise
    finally:
        draw_curves(folder / CURVES, Journal(folder / JOURNAL).entries(), f"{recipe.name}, seed {recipe.seed}")
    console.print(f"curves: {folder / CURVES}", soft_wrap=True)
    _ship(trainer, folder, console)
    return 0


def _begin(recipe: Recipe, options: argparse.Namespace) -> Path:
    if options.resume is not None:
        if options.out is not None:
            raise ConfigError("--resume goes on in its own folder; leave --out away")
        resumed: Path = options.resume
        if not (resumed / RECIPE_FILE).is_file():
            raise ConfigError(f"{resumed} is no training run: it has no {RECIPE_FILE}")
        return resumed
    stamp = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    folder: Path = options.out or Path("runs") / f"{recipe.name}_{stamp}"
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} exists already and is not empty; choose another --out, or --resume it")
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(recipe_to_mapping(recipe), sort_keys=False, width=120)
    (folder / RECIPE_FILE).write_text(text, encoding="utf-8")
    return folder


def _describe(trainer: Trainer, folder: Path, console: Console) -> None:
    recipe, data = trainer.recipe, trainer.data
    parameters = sum(parameter.numel() for parameter in trainer.learner.net.parameters())
    console.print(
        f"[bold]{escape(recipe.name)}[/], variant {recipe.variant}: {parameters / 1e6:.2f} M parameters on "
        f"{trainer.device.name} in {trainer.device.precision}"
    )
    console.print(f"{escape(data.description)}: {len(data.training)} samples train, {len(data.held_out)} are held out")
    console.print(f"run: {folder}", soft_wrap=True)


def _run(trainer: Trainer, console: Console) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("training", total=trainer.recipe.steps, completed=trainer.step)

        def watch(entry: Entry) -> None:
            if entry.kind == "training":
                text = f"{entry.stage}: loss {entry.figures['loss']:.3f}"
                bar.update(task, completed=entry.step, description=text)
                return
            found = ", ".join(
                f"{entry.figures[name]:.3g} {unit}" for name, unit in _UNITS.items() if name in entry.figures
            )
            bar.console.print(f"step {entry.step:>6}  {entry.stage}: held-out scenes {found}", soft_wrap=True)

        trainer.run(watch)


def _ship(trainer: Trainer, folder: Path, console: Console) -> None:
    """Write the package beside its final place, then move it there: a half-written one is never found."""
    name, final, draft = trainer.recipe.name, folder / PACKAGE, folder / f".{PACKAGE}.draft"
    if not (final / name).is_dir():
        shutil.rmtree(draft, ignore_errors=True)
        with console.status("exporting"):
            figures = trainer.validate()
            shown = trainer.learner.shown
            ship(draft / name, shown, trainer.recipe, trainer.data, trainer.normalisation, figures)
        draft.rename(final)
    size = sum(path.stat().st_size for path in (final / name).rglob("*") if path.is_file())
    console.print(
        f"package: {final / name}, {size / 1e6:.1f} MB; check it: vla3d policy check {final / name}", soft_wrap=True
    )
