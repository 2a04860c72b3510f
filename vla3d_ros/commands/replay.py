"""`vla3d replay`: a recorded run through policy, adapter and safety again, compared chunk by chunk."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from vla3d_ros.commands.process_load import process_age_s
from vla3d_ros.commands.replay_markers import marker_sections, marker_survey, print_markers
from vla3d_ros.commands.replay_policy import ChosenPolicy, choose_policy
from vla3d_ros.commands.replay_setup import recorded_policy, recorded_run, setup_for
from vla3d_ros.errors import ConfigError, RecordingError
from vla3d_ros.policy.backend import PolicyBackend
from vla3d_ros.replay.comparison import QUANTITIES, Comparison, compare
from vla3d_ros.replay.fingerprint import (
    Fingerprint,
    bag_fingerprint,
    camera_fingerprints,
    hash_values,
)
from vla3d_ros.replay.golden import read_golden, write_golden
from vla3d_ros.replay.judging import JudgingProcess
from vla3d_ros.replay.observing import ObservingProcess
from vla3d_ros.replay.offline import OfflineReplay, Replay
from vla3d_ros.replay.recorded_run import RecordedRun
from vla3d_ros.replay.replay_setup import ReplaySetup
from vla3d_ros.replay.verdict import ReplayLimits, ReplayOutcome

_BAR_HZ = 4.0  # drawing it costs milliseconds that the policy waits for


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `replay`."""
    verb = verbs.add_parser("replay", help="a recorded run through a policy again, offline or through the live nodes")
    verb.add_argument("bag", type=Path, metavar="BAG", help="folder of a rosbag2, or one of its storage files")
    verb.add_argument("--policy", metavar="PKG", help="package or settings; default: what the recording names")
    against = "'recorded', a golden file (.json), another package, 'live' (the policy node), or 'none'"
    verb.add_argument("--against", metavar="WHAT", help=f"{against}; default: recorded, if the bag has chunks")
    verb.add_argument("--record-golden", type=Path, metavar="FILE", help="keep the result as a baseline")
    verb.add_argument("--deployment", help="robot and bounds, instead of those the recording names")
    verb.add_argument("--rig", help="calibration to use instead of the recorded one: name or file")
    verb.add_argument("--drop-view", action="append", default=[], metavar="CAMERA", help="as if it had not been there")
    view = "let the policy look through a camera of the bag under another name"
    verb.add_argument("--view", action="append", default=[], metavar="NAME=CAMERA", help=view)
    verb.add_argument("--joint-states", default="", metavar="TOPIC", help="where a bag of others has several")
    markers = "triangulate markers of a dictionary, e.g. DICT_4X4_50, and sides that are known: 9=39"
    verb.add_argument("--markers", nargs="+", default=[], metavar=("DICTIONARY", "ID=MM"), help=markers)
    which = "those the live policy was given, or every complete one; default: recorded, if the bag tells"
    verb.add_argument("--observations", choices=("recorded", "all"), help=which)
    verb.add_argument("--instruction", help="instead of the recorded one; implies --observations all")
    verb.add_argument("--latency-ms", type=float, default=40.0, help="of chunks that were not recorded; default: 40")
    verb.add_argument("--twice", action="store_true", help="run twice and require the same bits")
    verb.add_argument("--json", type=Path, metavar="FILE", help="write the result for programs")
    verb.add_argument("--report", type=Path, metavar="FILE.html", help="write the result for people")
    _add_limits(verb)
    _add_playing(verb)
    verb.set_defaults(run=_replay)


def _add_limits(verb: argparse.ArgumentParser) -> None:
    limits = verb.add_argument_group("limits", "exit code 1 if the chunks differ by more")
    limits.add_argument("--limits", type=Path, metavar="FILE.yaml", help="with the names below")
    limits.add_argument("--position-mm", type=float, help="default: 1")
    limits.add_argument("--rotation-deg", type=float, help="default: 0.5")
    limits.add_argument("--gripper-mm", type=float, help="default: 1")
    limits.add_argument("--missing-chunks", type=int, help="default: 0")
    limits.add_argument("--new-stops", type=int, help="default: 0")
    limits.add_argument("--exact", action="store_true", default=None, dest="is_exact", help="not one bit may differ")


def _add_playing(verb: argparse.ArgumentParser) -> None:
    playing = verb.add_argument_group("through ROS", "the words of 'ros2 bag play'")
    playing.add_argument("--through", metavar="DEPLOYMENT", help="play the bag as topics into its nodes, in dry run")
    into = "move a twin deployment's arm by the recorded chunks, and compare its path with the recorded one"
    playing.add_argument("--into", metavar="DEPLOYMENT", help=into)
    playing.add_argument("-r", "--rate", type=float, default=1.0, help="default: 1")
    playing.add_argument("--start-offset", type=float, default=0.0, metavar="S", help="seconds into the bag")
    playing.add_argument("--playback-duration", type=float, default=-1.0, metavar="S", help="default: to the end")
    playing.add_argument("-l", "--loop", action="store_true", help="start again at the end, with stamps that go on")
    playing.add_argument("-p", "--start-paused", action="store_true", help="until ~/resume is called")
    playing.add_argument("--clock", type=float, nargs="?", const=40.0, default=0.0, metavar="HZ", help="publish /clock")
    order = "by the headers' stamps, or as they were received, with the stalls of that day; default: sent"
    playing.add_argument("--message-order", choices=("sent", "received"), default="sent", help=order)
    playing.add_argument("--no-wait", action="store_true", help="do not slow down for nodes that are behind")
    playing.add_argument("--topics", nargs="+", default=[], help="only these")
    playing.add_argument("--exclude-topics", nargs="+", default=[], help="all but these")
    playing.add_argument("-m", "--remap", nargs="+", default=[], metavar="OLD:=NEW")
    playing.add_argument("--qos-profile-overrides-path", type=Path, metavar="FILE.yaml", help="as for ros2 bag")


def _replay(options: argparse.Namespace, console: Console) -> int:
    if options.into:
        from vla3d_ros.commands.replay_into import replay_into

        return replay_into(options, console)
    if options.through:
        from vla3d_ros.commands.replay_through import replay_through

        return replay_through(options, console)
    return replay(options, console)


def replay(options: argparse.Namespace, console: Console) -> int:
    """Replay offline, compare, write what was asked for and print a summary.

    Returns:
        0 if the limits hold, else 1.
    """
    limits = _limits(options)
    survey = marker_survey(options.markers)
    with JudgingProcess() as judging, ObservingProcess() as observing:
        with console.status("reading the bag"):
            run = recorded_run(options)
        chosen = choose_policy(_policy_name(run, options))
        backend = chosen.open()
        try:
            offline = _offline(run, options, backend, judging, observing)
            if survey is not None:
                offline.on_observation = survey.add
            outcome = _outcome(offline, backend, chosen, options, limits, console)
            outcome = replace(outcome, command_s=process_age_s())
        finally:
            backend.close()
    markers = survey.findings() if survey is not None else ()
    if survey is not None:
        outcome = replace(outcome, extras={"markers": [finding.to_json() for finding in markers]})
    if options.record_golden:
        size = write_golden(options.record_golden, outcome.replay, outcome.fingerprint)
        console.print(f"golden: {options.record_golden} ({size / 1e3:.0f} kB)")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(outcome.to_json(), indent=2) + "\n", encoding="utf-8")
    if options.report:
        from vla3d_ros.replay.report import write_replay_report

        write_replay_report(options.report, outcome, offline, marker_sections(markers))
    print_markers(markers, console)
    _summarise(outcome, console)
    return int(bool(outcome.violations))


def _limits(options: argparse.Namespace) -> ReplayLimits:
    names = ("position_mm", "rotation_deg", "gripper_mm", "missing_chunks", "new_stops", "is_exact")
    return ReplayLimits.load(options.limits, {name: getattr(options, name) for name in names})


def _policy_name(run: RecordedRun, options: argparse.Namespace) -> str:
    name: str = options.policy or recorded_policy(run)
    if not name:
        raise ConfigError(f"bag {run.path} does not name the policy that made it; give one with --policy")
    return name


def _offline(
    run: RecordedRun,
    options: argparse.Namespace,
    backend: PolicyBackend,
    judging: JudgingProcess,
    observing: ObservingProcess,
) -> OfflineReplay:
    cameras = backend.description.cameras
    setup = setup_for(run, options, cameras)
    wants_all = options.observations == "all" or options.instruction is not None
    if options.observations == "recorded" and not run.fed:
        raise RecordingError(f"bag {run.path} does not tell what its policy was given; use --observations all")
    fed = run.fed if run.fed and not wants_all else None
    return OfflineReplay(run, setup, cameras, fed, backend.description.depth_cameras, judging, observing)


def _play(offline: OfflineReplay, backend: PolicyBackend, console: Console, word: str) -> Replay:
    total = len(offline.fed) if offline.fed is not None else None
    with Progress(console=console, transient=True, refresh_per_second=_BAR_HZ) as progress:
        task = progress.add_task(word, total=total)
        return offline.play(backend, lambda stamp_ns: progress.advance(task))


def _outcome(
    offline: OfflineReplay,
    backend: PolicyBackend,
    chosen: ChosenPolicy,
    options: argparse.Namespace,
    limits: ReplayLimits,
    console: Console,
) -> ReplayOutcome:
    if options.against == "live":
        from vla3d_ros.commands.replay_through import answers_of_the_live_node

        answers_of_the_live_node(offline, chosen, options, console)
    played = _play(offline, backend, console, "replaying")
    offline.on_observation = lambda observation: None  # what is surveyed is surveyed once
    is_repeatable = None
    if options.twice:
        is_repeatable = _play(offline, backend, console, "again").digest == played.digest
    run = offline.run
    live = {one.stamp_ns: one.digest for one in run.fed if one.digest}
    seen = {chunk.record.stamp_ns: chunk.observation for chunk in played.chunks}
    told = [seen[stamp] == digest for stamp, digest in live.items() if stamp in seen]
    outcome = ReplayOutcome(
        run=run,
        replay=played,
        fingerprint=_fingerprint(run, offline.setup, chosen, offline.cameras),
        limits=limits,
        rebuilt=(sum(told), len(told)),
        is_repeatable=is_repeatable,
    )
    return _compared(outcome, offline, chosen, options.against, console)


def _fingerprint(run: RecordedRun, setup: ReplaySetup, chosen: ChosenPolicy, cameras: tuple[str, ...]) -> Fingerprint:
    present = {camera: setup.models[camera] for camera in cameras if camera in run.layout.images}
    arms = setup.embodiment.arms
    robot = {"urdf": setup.embodiment.urdf_path.read_text(encoding="utf-8"), "arms": [repr(arm) for arm in arms]}
    return Fingerprint(
        policy=chosen.fingerprint(),
        cameras=camera_fingerprints(present, setup.mounts),
        bag=bag_fingerprint(run.path),
        robot=hash_values(robot),
        bounds=hash_values(repr(setup.execution)),
    )


def _compared(
    outcome: ReplayOutcome, offline: OfflineReplay, chosen: ChosenPolicy, against: str | None, console: Console
) -> ReplayOutcome:
    """Compare with whatever the replay is measured by."""
    run, records = outcome.run, [chunk.record for chunk in outcome.replay.chunks]
    if against is None:
        against = "recorded" if run.chunks else "none"
    if against == "none":
        return outcome
    if against in ("recorded", "live"):
        if not run.chunks:
            raise RecordingError(f"bag {run.path} has no chunks to compare with; expected a topic 'policy/chunk'")
        known = {camera: run.models[camera] for camera in outcome.fingerprint.cameras if camera in run.models}
        dropped = {camera: run.models[camera] for camera in offline.cameras if camera in run.models}
        was = replace(outcome.fingerprint, cameras=camera_fingerprints({**known, **dropped}, run.mounts))
        reference = {stamp: chunk.record for stamp, chunk in run.chunks.items()}
        comparison = compare(records, reference, against, {})
        named, ours = Path(recorded_policy(run)).stem, chosen.settings_file.stem
        is_other = against == "recorded" and bool(named) and named != ours
        changes = [f"the policy: '{named}' made the recording, '{ours}' answers now"] if is_other else []
        outcome = replace(outcome, reference=reference, changes=changes)
        return _with(outcome, comparison, was, outcome.replay.verdicts.get("stop", 0))
    if against.endswith(".json"):
        golden = read_golden(Path(against))
        comparison = compare(records, golden.chunks, against, golden.digests)
        changed = _with(
            replace(outcome, reference=golden.chunks), comparison, golden.fingerprint, golden.verdicts.get("stop", 0)
        )
        fewer = [c for c in outcome.replay.chunks if c.views < golden.views.get(c.record.stamp_ns, 0)]
        texts = [f"{len(fewer)} observations have fewer views than in the baseline"] if fewer else []
        return replace(changed, changes=[*changed.changes, *texts])
    return _against_policy(outcome, offline, choose_policy(against), console)


def _against_policy(
    outcome: ReplayOutcome, offline: OfflineReplay, chosen: ChosenPolicy, console: Console
) -> ReplayOutcome:
    other = chosen.open()
    try:
        fed, told = None if offline.fed is None else offline.run.fed, other.description
        workers = (offline.judging, offline.observing)
        offline = OfflineReplay(offline.run, offline.setup, told.cameras, fed, told.depth_cameras, *workers)
        theirs = _play(offline, other, console, "the other policy")
    finally:
        other.close()
    records = [chunk.record for chunk in outcome.replay.chunks]
    reference = {chunk.record.stamp_ns: chunk.record for chunk in theirs.chunks}
    comparison = compare(records, reference, chosen.name, {})
    was = replace(outcome.fingerprint, policy=chosen.fingerprint())
    return _with(replace(outcome, reference=reference), comparison, was, theirs.verdicts.get("stop", 0))


def _with(outcome: ReplayOutcome, comparison: Comparison, was: Fingerprint, stops: int) -> ReplayOutcome:
    changes = [*outcome.changes, *outcome.fingerprint.differences(was)]
    equal, total = outcome.rebuilt
    if comparison.against in ("recorded", "live") and equal < total:
        changes.append(
            f"{total - equal} of {total} observations differ from what the live policy saw: states were lost"
        )
    if comparison.against in ("recorded", "live") and outcome.replay.unseen:
        text = "observations of the live policy are not in the bag: images were lost on their way to the recorder"
        changes.append(f"{len(outcome.replay.unseen)} {text}")
    if comparison.identical < len(comparison.differences) and not changes:
        changes = ["nothing that is known was changed: it is the code, or something that is not deterministic"]
    return replace(outcome, comparison=comparison, changes=changes, stops_before=stops)


def _summarise(outcome: ReplayOutcome, console: Console) -> None:
    played, comparison = outcome.replay, outcome.comparison
    speed = played.recorded_s / played.wall_s
    console.print(
        f"[bold]{escape(played.policy)}[/]: {len(played.chunks)} chunks of {played.observations} observations in "
        f"{played.wall_s:.1f} s, {speed:.1f} x real time · verdicts {_counts(played.verdicts)} · {played.digest}"
    )
    if outcome.command_s is not None:
        whole = played.recorded_s / outcome.command_s
        console.print(f"  with starting, reading and loading: {outcome.command_s:.1f} s, {whole:.1f} x real time")
    for name, stamps in (("without a chunk", played.unanswered), ("that could not be rebuilt", played.unseen)):
        if stamps:
            console.print(f"  {len(stamps)} observations {name}")
    if comparison is not None:
        worst = ", ".join(f"{name} {comparison.worst(name):.4g} {unit}" for name, unit in QUANTITIES.items())
        console.print(
            f"against {escape(comparison.against)}: {comparison.identical} of {len(comparison.differences)} chunks "
            f"identical to the last bit; worst {worst}"
        )
    for text in outcome.changes:
        console.print(f"  [yellow]changed[/] {escape(text)}")
    for text in [*outcome.run.notes, *outcome.violations]:
        console.print(f"  [red]·[/] {escape(text)}")
    console.print(f"[{'red' if outcome.violations else 'green'}]{outcome.word}[/]")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
