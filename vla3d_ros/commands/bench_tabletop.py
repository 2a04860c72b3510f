"""`vla3d bench tabletop`: every variant under every variation, resumable, and the page that says what came of it."""

from __future__ import annotations

import argparse
import os
import platform
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from vla3d_ros.commands.evidence_setup import CellSetups
    from vla3d_ros.evaluation.evidence.config import EvidencePlan
    from vla3d_ros.evaluation.evidence.results import Evidence
    from vla3d_ros.evaluation.evidence.store import Cell, CellStore
    from vla3d_ros.evaluation.evidence.trial import CellTrial

_PLAN = "tabletop"
_SPEED_OVER_S = 3600.0
_LINES = 100


def add_parser(what: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `bench tabletop`."""
    verb = what.add_parser("tabletop", help="variants of a policy under every variation, for hours; resumable")
    verb.add_argument("--plan", default=_PLAN, metavar="NAME", help="in config/benchmarks, or a YAML file")
    verb.add_argument("--out", type=Path, default=None, help="folder of the run; default: runs/<plan>")
    verb.add_argument("--variants", nargs="+", default=[], metavar="NAME", help="only these")
    verb.add_argument("--cells", nargs="+", default=[], metavar="CELL", help="only these: VARIATION, VARIANT/VARIATION")
    verb.add_argument("--trials", type=int, default=None, help="of every cell for now; default: the plan's")
    verb.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="default: %(default)s")
    verb.add_argument("--page", action="store_true", help="run nothing, write the page of what there is")
    verb.add_argument("--docs", type=Path, default=None, metavar="DIR", help="write page and pictures there, too")
    verb.set_defaults(run=bench_tabletop)


def bench_tabletop(options: argparse.Namespace, console: Console) -> int:
    """Run what is missing, look at what the checked variant believes, write the page.

    Returns:
        0 if every cell of the plan is complete and nothing asked for was missed, else 1.
    """
    from vla3d_ros.commands.evidence_page import write_page
    from vla3d_ros.errors import ConfigError
    from vla3d_ros.evaluation.evidence.config import load_plan
    from vla3d_ros.resources import config_dir

    named = Path(options.plan)
    path = named if named.suffix in (".yaml", ".yml") else config_dir() / "benchmarks" / f"{options.plan}.yaml"
    plan, out = load_plan(path), options.out or Path("runs") / path.stem
    if options.trials is not None and not 1 <= options.trials <= plan.trials:
        raise ConfigError(f"--trials is {options.trials}; expected 1 to {plan.trials}, as the plan has")
    if not options.page:
        _run(plan, plan.cells(options.variants, options.cells), options, out, console)
    with console.status("writing the page"):
        evidence = write_page(plan, path.stem, out, config_dir(), options.docs)
    _summarise(evidence, console)
    console.print(f"page: {out / path.stem}.md", soft_wrap=True)
    return 0 if evidence.is_complete and all(verdict.state == "met" for verdict in evidence.verdicts) else 1


def _run(plan: EvidencePlan, cells: tuple[Cell, ...], options: argparse.Namespace, out: Path, console: Console) -> None:
    from vla3d_ros.commands.evidence_setup import cell_setups
    from vla3d_ros.commands.evidence_spatial import check_spatial
    from vla3d_ros.evaluation.evidence.store import CellStore, read_cells, require_one_origin
    from vla3d_ros.resources import config_dir

    with console.status("reading packages and settings"):
        made = cell_setups(plan, cells, out, config_dir())
        known = set(plan.cells())
        others = {record.cell: record.identity for record in read_cells(out) if record.cell in known - set(cells)}
        require_one_origin({**others, **made.identities})
    with CellStore(out, made.identities) as store:
        _run_trials(plan, made, store, options, out, console)
    if {(plan.spatial.variant, variation) for variation in plan.variations} <= set(cells):
        with console.status("instances and completion") as status:
            found = check_spatial(plan, made.setups, made.identities, out, lambda name: status.update(f"where: {name}"))
        if found is None:
            console.print(f"variant '{plan.spatial.variant}' does not say where things are: no overlays")


def _run_trials(
    plan: EvidencePlan,
    made: CellSetups,
    store: CellStore,
    options: argparse.Namespace,
    out: Path,
    console: Console,
) -> None:
    from vla3d_ros.commands.evidence_page import SESSIONS
    from vla3d_ros.evaluation.evidence.sweep import TimedTrial, run_missing
    from vla3d_ros.evaluation.journal import Journal

    trials = options.trials or plan.trials
    missing, total = len(store.missing(trials)), trials * len(made.setups)
    console.print(f"{len(made.setups)} cells, {missing} of {total} trials to run in {options.processes} processes")
    if not missing:
        return
    with Journal(out / SESSIONS) as sessions:
        at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        sessions.append("session", {"at": at, "machine": machine(), "processes": options.processes, "to_run": missing})
    begun_s, done = time.monotonic(), 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    left = (TextColumn("· left"), TimeRemainingColumn())
    with Progress(*columns, *left, console=console, speed_estimate_period=_SPEED_OVER_S) as progress:
        task = progress.add_task("trials", total=total, completed=total - missing)

        def show(cell: Cell, trial: CellTrial) -> None:
            nonlocal done
            done += 1
            progress.update(task, advance=1, description=f"{'/'.join(cell)} {trial.trial}")
            if not console.is_terminal and done % max(1, missing // _LINES) == 0:
                each_s = (time.monotonic() - begun_s) / done
                left_h = each_s * (missing - done) / 3600.0
                console.print(f"{done} of {missing} trials, {each_s:.2f} s each, {left_h:.1f} h left")

        work = TimedTrial(seed=plan.seed, clock=time.monotonic)
        run_missing(store, made.setups, work, trials=trials, processes=options.processes, progress=show)
    wall_s = time.monotonic() - begun_s
    console.print(f"{done} trials in {wall_s:.0f} s: {wall_s / done:.2f} s a trial")


def machine() -> str:
    """Return processor and cores of this machine."""
    name, info = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if info.is_file():
        lines = (line.partition(":") for line in info.read_text(encoding="utf-8").splitlines())
        name = next((value.strip() for key, _, value in lines if key.strip() == "model name"), name)
    return f"{name}, {os.cpu_count()} cores"


def _summarise(evidence: Evidence, console: Console) -> None:
    from vla3d_ros.evaluation.evidence.results import rate_words

    for cell in evidence.plan.cells():
        if cell in evidence.cells:
            rate = evidence.cells[cell].rate
            console.print(f"  {'/'.join(cell)}: {rate.successes} of {rate.trials}, {rate_words(rate)}", markup=False)
    for verdict in evidence.verdicts:
        console.print(f"  {verdict.state}: {verdict.asked}: {verdict.found}", markup=False)
