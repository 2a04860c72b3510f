"""What `vla3d demonstrations` does."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vla3d_ros.commands.evaluate import trial_setup
from vla3d_ros.deployment import load_deployment
from vla3d_ros.errors import ConfigError
from vla3d_ros.policy.backends.scripted_config import read_scripted_config
from vla3d_ros.policy.loading import read_settings as read_policy_settings
from vla3d_ros.resources import config_dir
from vla3d_ros.training.demonstrations.config import DemonstrationSettings, load_settings
from vla3d_ros.training.demonstrations.make import make_demonstrations
from vla3d_ros.training.demonstrations.manifest import check_files, read_manifest
from vla3d_ros.training.demonstrations.plan import DemonstrationPlan, file_digest
from vla3d_ros.training.demonstrations.sheet import draw_sheet
from vla3d_ros.twin.variation import load_variation

_MEGABYTE = 1 << 20


def demonstration_plan(settings: DemonstrationSettings) -> DemonstrationPlan:
    """Return what episodes of these settings are made of.

    Raises:
        ConfigError: If a file is missing or wrong, or the deployment's policy is not the scripted one.
    """
    deployment = load_deployment(settings.deployment, config_dir())
    setup = trial_setup(deployment, latency_ms=settings.latency_ms, nudge_share=settings.nudge_share)
    policy = deployment.parameters["policy"]
    if policy["backend"] != "scripted":
        raise ConfigError(
            f"the policy of deployment '{settings.deployment}' is '{policy['backend']}'; only 'scripted' can teach"
        )
    policy_file, variations = Path(policy["backend_config"]), config_dir() / "variations"
    files = [setup.robot_file, setup.rig_file, setup.scene_file, policy_file]
    files += [variations / f"{name}.yaml" for name in settings.variations]
    loaded = {name: load_variation(name, variations) for name in settings.variations}
    return DemonstrationPlan(
        settings=settings,
        setup=setup,
        teacher=read_scripted_config(read_policy_settings(policy_file)),
        variations=loaded,
        inputs={f"{path.parent.name}/{path.name}": file_digest(path) for path in files},
    )


def settings_file(text: str) -> Path:
    """Return the path that a settings' name or path means."""
    given = Path(text)
    return given if given.suffix in (".yaml", ".yml") else config_dir() / "training" / f"{text}.yaml"


def make(options: argparse.Namespace, console: Console) -> int:
    """Make what is missing, and say what there is."""
    settings = load_settings(settings_file(options.settings))
    if options.episodes is not None:
        if options.episodes < 1:
            raise ConfigError(f"--episodes is {options.episodes}; expected at least 1")
        settings = replace(settings, episodes=options.episodes)
    plan = demonstration_plan(settings)
    started_s, fresh = time.monotonic(), Counter[str]()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("episodes", total=settings.episodes)

        def count(entry: object) -> None:
            fresh["episodes"] += 1
            fresh["samples"] += getattr(entry, "samples", 0)
            progress.advance(task)

        manifest = make_demonstrations(plan, options.out, processes=options.processes, progress=count)
        progress.update(task, completed=len(manifest.episodes))
    wall_s = time.monotonic() - started_s
    if fresh["episodes"]:
        console.print(
            f"{fresh['episodes']} new episodes with {fresh['samples']} samples in {wall_s:.0f} s: "
            f"{wall_s / fresh['episodes']:.2f} s an episode, {fresh['samples'] / wall_s:.1f} samples/s"
        )
    return tell(options.out, console)


def info(options: argparse.Namespace, console: Console) -> int:
    """Check, draw, and say what there is."""
    if options.check:
        check_files(options.folder, read_manifest(options.folder))
        console.print("every file is what the manifest says")
    if options.sheet is not None:
        options.sheet.write_bytes(draw_sheet(options.folder))
        console.print(f"drawn: {options.sheet}")
    return tell(options.folder, console)


def tell(folder: Path, console: Console) -> int:
    """Say what is in a folder; 1 if there are no samples."""
    manifest = read_manifest(folder)
    tried, kept = manifest.episodes, manifest.kept
    size_mb = sum((folder / entry.file).stat().st_size for entry in kept) / _MEGABYTE
    samples = sum(entry.samples for entry in kept)
    succeeded = sum(entry.outcome == "success" for entry in tried)
    console.print(f"{len(tried)} episodes tried, {succeeded} judged a success, {len(kept)} kept")
    console.print(f"{samples} samples, {size_mb:.1f} MB")
    for reason, count in Counter(entry.reason for entry in tried if entry.outcome == "failure").most_common(5):
        console.print(f"  [red]{count} x[/] {reason}")
    for title, counts in (
        ("variations", Counter(entry.variation for entry in kept)),
        ("grasps", Counter(str(entry.attempts) for entry in kept)),
        ("phases", sum((Counter(entry.phases) for entry in kept), Counter())),
        ("made by code", Counter(entry.code for entry in tried)),
    ):
        console.print(f"  {title}: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    console.print(f"  pushed off the way: {sum(entry.disturbed for entry in kept)} samples")
    return 0 if kept else 1
