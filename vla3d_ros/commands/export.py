"""`vla3d export lerobot`: recorded episodes as a dataset to train from."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from vla3d_ros.adapter.embodiment import Embodiment, load_embodiment
from vla3d_ros.errors import ConfigError, RecordingError, Vla3dError, join_problems
from vla3d_ros.recording.inspection import robot_of
from vla3d_ros.recording.lerobot import EpisodePlan, ExportSettings, export_dataset, plan_episode
from vla3d_ros.recording.lerobot.export import FORMATS, require_new
from vla3d_ros.recording.session_file import Session, read_session
from vla3d_ros.replay.recorded_run import RecordedRun, read_run
from vla3d_ros.resources import config_dir

_STORAGES = {".mcap", ".db3"}
_DISCARDED = "discarded"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Candidate:
    """A bag that was named: its plan, or why it is left out; `is_bad` if that is an error of the bag."""

    path: Path
    outcome: str
    plan: EpisodePlan | None = None
    reason: str = ""
    is_bad: bool = False
    robot: str = ""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `export`."""
    export = verbs.add_parser("export", help="recorded episodes in the format of a trainer")
    what = export.add_subparsers(required=True, metavar="WHAT")
    verb = what.add_parser("lerobot", help="a LeRobot dataset: numbers in Parquet, pictures in h264")
    verb.add_argument("bags", nargs="+", type=Path, metavar="BAG", help="bags, or folders of bags")
    verb.add_argument("--out", type=Path, required=True, help="new folder of the dataset")
    verb.add_argument("--repo-id", default="", metavar="USER/NAME", help="put it into OUT/USER/NAME, as lerobot does")
    verb.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="default: %(default)s")
    verb.add_argument("--fps", type=_positive, default=30, help="frames per second, exactly; default: %(default)s")
    verb.add_argument("--cameras", nargs="+", default=[], metavar="CAMERA", help="default: all")
    verb.add_argument("--depth", action="store_true", help="depth, too, without loss")
    verb.add_argument(
        "--action",
        choices=("absolute", "relative"),
        default="absolute",
        help="which targets 'action' repeats; default: %(default)s",
    )
    verb.add_argument("--task", default="", help="what was done, instead of the recorded instructions")
    verb.add_argument("--robot", default=None, help="name in config/robots; default: what the recording says")
    verb.add_argument("--include-failures", action="store_true", help="episodes judged as failures, too")
    verb.add_argument(
        "--include-unjudged", action="store_true", help="episodes that nobody judged, and interrupted ones"
    )
    verb.add_argument(
        "--skip-bad", action="store_true", help="leave out bags that can not be exported, instead of stopping"
    )
    verb.add_argument(
        "--max-gap",
        type=float,
        default=0.1,
        metavar="S",
        help="between states, and age of a picture; default: %(default)s",
    )
    verb.add_argument(
        "--max-silence", type=float, default=0.5, metavar="S", help="without a new chunk; default: %(default)s"
    )
    verb.set_defaults(run=export_lerobot)


def export_lerobot(options: argparse.Namespace, console: Console) -> int:
    """Plan every bag, refuse or skip those that can not be exported, write the others.

    Raises:
        RecordingError: If bags can not be exported, with all reasons, or the dataset can not be written.
        ConfigError: If nothing is left, or episodes do not fit each other.
    """
    settings = ExportSettings(
        fps=options.fps,
        cameras=tuple(options.cameras),
        has_depth=options.depth,
        is_relative=options.action == "relative",
        max_gap_s=options.max_gap,
        max_silence_s=options.max_silence,
        task=options.task.strip(),
    )
    root = options.out / options.repo_id if options.repo_id else options.out
    require_new(root)
    paths = list(_bags(options.bags))
    with Progress(console=console, transient=True) as progress:
        looking = progress.add_task("reading", total=len(paths))
        seen = []
        for path in paths:
            seen.append(_look(path, settings, options))
            progress.advance(looking)
    bad = [one for one in seen if one.is_bad]
    if bad and not options.skip_bad:
        raise RecordingError(join_problems("not exported (--skip-bad leaves these out)", [one.reason for one in bad]))
    chosen = [one for one in seen if one.plan is not None]
    _print_candidates(seen, console)
    if bad:
        console.print(f"[yellow]{len(bad)} left out because they are bad[/]")
    if not chosen:
        raise ConfigError("no episode is left to export; --include-failures and --include-unjudged take more")
    _require_one_robot(chosen)
    _write([one.plan for one in chosen if one.plan], root, chosen[0].robot, settings, options, console)
    return 0


def _write(
    plans: Sequence[EpisodePlan],
    root: Path,
    robot: str,
    settings: ExportSettings,
    options: argparse.Namespace,
    console: Console,
) -> None:
    with Progress(console=console, transient=True) as progress:
        writing = progress.add_task("encoding", total=sum(len(plan.frames_ns) * len(plan.shown) for plan in plans))
        done = export_dataset(
            plans, root, options.format, robot, settings, on_frames=lambda count: progress.advance(writing, count)
        )
    seconds = done.frames / settings.fps
    console.print(
        f"{escape(str(done.root))}: LeRobot {options.format}, {done.episodes} episodes, {done.frames} frames at "
        f"{settings.fps} fps ({seconds:.1f} s), {len(done.tasks)} tasks, {_megabytes(done.root):.1f} MB; "
        f"action = {options.action} targets",
        soft_wrap=True,
    )


def _bags(paths: Sequence[Path]) -> Iterator[Path]:
    """The bags that were named, and those in folders that were named, without discarded and unfinished ones."""
    for path in paths:
        if not path.is_dir() or (path / "metadata.yaml").exists() or any(p.suffix in _STORAGES for p in path.iterdir()):
            yield path
            continue
        found = sorted(file.parent for file in path.rglob("metadata.yaml"))
        kept = [
            bag
            for bag in found
            if not any(p == _DISCARDED or p.endswith(".partial") for p in bag.relative_to(path).parts)
        ]
        if not kept:
            raise RecordingError(f"no bags in {path}; expected folders with metadata.yaml")
        yield from kept


def _look(path: Path, settings: ExportSettings, options: argparse.Namespace) -> _Candidate:
    outcome = "unjudged"
    try:
        session = read_session(path) if path.is_dir() else None
        outcome = session.outcome if session else outcome
        if path.parent.name == _DISCARDED:
            outcome = "discarded"
        if reason := _unwanted(outcome, options):
            return _Candidate(path=path, outcome=outcome, reason=reason)
        run = read_run(path)
        robot = _robot(run, session, options.robot)
        return _Candidate(
            path=path, outcome=outcome, plan=plan_episode(run, session, robot, settings), robot=robot.name
        )
    except Vla3dError as error:
        return _Candidate(path=path, outcome=outcome, reason=str(error), is_bad=True)


def _unwanted(outcome: str, options: argparse.Namespace) -> str:
    if outcome == "success":
        return ""
    if outcome == "failure":
        return "" if options.include_failures else "a failure; --include-failures takes it"
    if outcome in ("unjudged", "interrupted"):
        return "" if options.include_unjudged else f"{outcome}; --include-unjudged takes it"
    return f"{outcome}; never exported"


def _robot(run: RecordedRun, session: Session | None, name: str | None) -> Embodiment:
    told = run.session.get("deployment", {})
    name = name or (told.get("robot") if isinstance(told, dict) else None)
    if name:
        return load_embodiment(config_dir() / "robots" / f"{name}.yaml")
    recorded = robot_of(session)
    if recorded and Path(recorded).is_file():
        return load_embodiment(Path(recorded))
    raise RecordingError(
        f"bag {run.path} does not say which robot it is of; name one with --robot. It holds {len(run.topics)} topics "
        f"of types {sorted(set(run.topics.values()))}"
    )


def _require_one_robot(chosen: Sequence[_Candidate]) -> None:
    robots = sorted({one.robot for one in chosen})
    if len(robots) > 1:
        raise ConfigError(f"the bags are of several robots, {robots}; export one dataset for each")


def _print_candidates(seen: Sequence[_Candidate], console: Console) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("bag", "outcome"):
        table.add_column(heading)
    for heading in ("frames", "cut off before", "behind", "pictures shown twice"):
        table.add_column(heading, justify="right")
    table.add_column("task, or why it is left out")
    for one in seen:
        if one.plan is None:
            why = f"[yellow]left out[/]: {escape(one.reason)}"
            table.add_row(escape(one.path.name), one.outcome, "–", "–", "–", "–", why)
            continue
        repeats = ", ".join(f"{camera} {count}" for camera, count in one.plan.repeats.items())
        before_s, behind_s = one.plan.cut_s
        tasks = " / ".join(dict.fromkeys(one.plan.tasks))
        cut = (f"{before_s:.2f} s", f"{behind_s:.2f} s")
        table.add_row(
            escape(one.path.name), one.outcome, str(len(one.plan.frames_ns)), *cut, escape(repeats), escape(tasks)
        )
    console.print(table)


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not a positive number")
    return number
