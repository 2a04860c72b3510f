"""Many episodes: on all cores, in any order, to be continued where it was left off."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path

from vla3d_ros.errors import ConfigError, join_problems
from vla3d_ros.training.demonstrations.make_episode import EpisodeEntry, MadeEpisode, make_episode
from vla3d_ros.training.demonstrations.manifest import (
    MANIFEST,
    DemonstrationManifest,
    read_manifest,
    write_manifest,
)
from vla3d_ros.training.demonstrations.plan import DemonstrationPlan, code_digest, versions

_AHEAD = 2  # jobs per process that wait their turn: few, so that an interrupted run ends soon


def make_demonstrations(
    plan: DemonstrationPlan,
    folder: Path,
    *,
    processes: int = 1,
    progress: Callable[[EpisodeEntry], None] = lambda entry: None,
) -> DemonstrationManifest:
    """Make the episodes that a folder does not have yet.

    Args:
        plan: What they are made of.
        folder: Where they go; one that was left off is continued.
        processes: Worker processes; the bytes do not depend on it.
        progress: Called with every new episode, in any order.

    Returns:
        The folder's manifest, which is written after every episode.

    Raises:
        ConfigError: If the folder holds demonstrations made of something else; says of what.
    """
    if processes < 1:
        raise ConfigError(f"{processes} processes; expected at least 1")
    folder.mkdir(parents=True, exist_ok=True)
    entries = {entry.episode: entry for entry in _done(plan, folder)}
    numbers = [number for number in range(plan.settings.episodes) if number not in entries]
    manifest = _manifest(plan, list(entries.values()))
    for made in _made(plan, numbers, processes):
        if made.content is not None:
            unfinished = folder / f"{made.entry.file}.part"
            unfinished.write_bytes(made.content)
            unfinished.replace(folder / made.entry.file)
        entries[made.entry.episode] = made.entry
        manifest = _manifest(plan, list(entries.values()))
        write_manifest(folder, manifest)
        progress(made.entry)
    return manifest


def _done(plan: DemonstrationPlan, folder: Path) -> Sequence[EpisodeEntry]:
    """Return the episodes that need not be made again."""
    if not (folder / MANIFEST).exists():
        return ()
    before = read_manifest(folder)
    problems = [] if before.settings_digest == plan.settings.digest else _differences(before, plan)
    problems += [
        f"file '{name}' has changed since" for name, digest in plan.inputs.items() if before.inputs.get(name) != digest
    ]
    if problems:
        raise ConfigError(join_problems(f"{folder} can not be continued; choose another folder", problems))
    return [entry for entry in before.episodes if not entry.file or (folder / entry.file).is_file()]


def _differences(before: DemonstrationManifest, plan: DemonstrationPlan) -> list[str]:
    now = _plain(plan)
    return [
        f"'{key}' was {before.settings.get(key)}, is {now.get(key)}"
        for key in sorted({*before.settings, *now} - {"episodes"})
        if before.settings.get(key) != now.get(key)
    ]


def _plain(plan: DemonstrationPlan) -> dict[str, object]:
    """Return the settings as JSON has them."""
    return {key: _listed(value) for key, value in asdict(plan.settings).items()}


def _listed(value: object) -> object:
    if isinstance(value, dict):
        return {key: _listed(entry) for key, entry in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _manifest(plan: DemonstrationPlan, entries: list[EpisodeEntry]) -> DemonstrationManifest:
    return DemonstrationManifest(
        settings=_plain(plan),
        settings_digest=plan.settings.digest,
        inputs=dict(plan.inputs),
        versions=versions(),
        episodes=tuple(sorted(entries, key=lambda entry: entry.episode)),
    )


def _made(plan: DemonstrationPlan, numbers: Sequence[int], processes: int) -> Iterator[MadeEpisode]:
    code = code_digest()
    if processes == 1:
        for number in numbers:
            yield make_episode(plan, number, code)
        return
    # Rendering contexts do not survive a fork.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = iter(numbers)
        pending: set[Future[MadeEpisode]] = set()
        try:
            while True:
                for number in waiting:
                    pending.add(pool.submit(make_episode, plan, number, code))
                    if len(pending) >= _AHEAD * processes:
                        break
                if not pending:
                    return
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            for future in pending:
                future.cancel()
