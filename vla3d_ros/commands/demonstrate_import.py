"""`vla3d demonstrations import`: recordings of the live graph become training samples."""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from vla3d_ros.camera.rig import load_rig
from vla3d_ros.commands.demonstrate_actions import settings_file, tell
from vla3d_ros.commands.replay_setup import setup_for
from vla3d_ros.deployment import load_deployment
from vla3d_ros.errors import ConfigError
from vla3d_ros.replay.recorded_run import read_run
from vla3d_ros.resources import config_dir
from vla3d_ros.training.demonstrations.config import DemonstrationSettings, load_settings
from vla3d_ros.training.demonstrations.episode_file import episode_bytes
from vla3d_ros.training.demonstrations.from_bag import episode_from_bag
from vla3d_ros.training.demonstrations.make_episode import EpisodeEntry
from vla3d_ros.training.demonstrations.manifest import DemonstrationManifest, write_manifest
from vla3d_ros.training.demonstrations.plan import code_digest, versions


def import_bags(options: argparse.Namespace, console: Console) -> int:
    """Write one episode per bag, and the manifest.

    Raises:
        ConfigError: If the folder is not empty.
        RecordingError: If a bag can not be turned into samples.
    """
    settings, folder = load_settings(settings_file(options.settings)), options.out
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty; choose a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    entries = tuple(_import(number, bag, settings, folder) for number, bag in enumerate(options.bags))
    manifest = DemonstrationManifest(
        settings={**asdict(settings), "imported": [bag.name for bag in options.bags]},
        settings_digest=settings.digest,
        inputs={entry.reason: entry.sha256 for entry in entries},
        versions=versions(),
        episodes=entries,
    )
    write_manifest(folder, manifest)
    return tell(folder, console)


def _import(number: int, bag: Path, settings: DemonstrationSettings, folder: Path) -> EpisodeEntry:
    deployment = load_deployment(settings.deployment, config_dir())
    rig = load_rig(deployment.rig_file)
    cameras = tuple(camera.name for camera in rig.cameras)
    run = read_run(bag)
    words = argparse.Namespace(deployment=None, rig=None, latency_ms=settings.latency_ms, drop_view=())
    setup = setup_for(run, words, cameras)
    stride = max(1, round(rig.rate_hz / settings.samples_hz))
    episode = episode_from_bag(run, setup, settings.pictures, cameras, stride=stride)
    content = episode_bytes(episode)
    file = f"episode_{number:06d}.npz"
    (folder / file).write_bytes(content)
    return EpisodeEntry(
        episode=number,
        variation="recording",
        instruction=episode.instruction,
        outcome="recorded",
        reason=bag.name,
        sim_s=round((int(episode.stamps_ns[-1]) - int(episode.stamps_ns[0])) / 1e9, 3),
        attempts=0,
        samples=len(episode),
        disturbed=0,
        phases={},
        file=file,
        sha256=hashlib.sha256(content).hexdigest(),
        code=code_digest(),
    )
