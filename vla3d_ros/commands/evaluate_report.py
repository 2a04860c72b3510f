"""`vla3d evaluate report RUN [RUN ...]`: results, tables and the page, also of several runs of one protocol."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from vla3d_ros.evaluation.journal import write_durably
from vla3d_ros.evaluation.study_comparison import compare_policies
from vla3d_ros.evaluation.study_json import results_json
from vla3d_ros.evaluation.study_report import study_page
from vla3d_ros.evaluation.study_results import StudyResults, pool_runs, tally
from vla3d_ros.evaluation.study_run import read_run
from vla3d_ros.evaluation.study_table import result_table
from vla3d_ros.evaluation.study_text import to_latex, to_markdown


def report(runs: Sequence[Path], options: argparse.Namespace, console: Console) -> int:
    """Write `results.json`, `tables.md`, `tables.tex` and `report.html` into the first run's folder, or `--out`.

    Returns:
        0 when every trial of every plan has a valid result, or the protocol's rule ended it; 1 otherwise.
    """
    results = pool_runs([read_run(folder) for folder in runs], reveal=options.reveal)
    out: Path = options.out or runs[0]
    table = result_table(results)
    with console.status("reading the bags and writing the report"):
        page = study_page(results, out)
    write_durably(out / "results.json", results_json(results))
    write_durably(out / "tables.md", to_markdown(table))
    write_durably(out / "tables.tex", to_latex(table))
    write_durably(out / "report.html", page)
    if options.json:
        write_durably(options.json, results_json(results))
    _summarise(results, console)
    console.print(f"report: {out / 'report.html'} · results.json · tables.md · tables.tex")
    return 0 if all(data.is_complete for data in results.runs) else 1


def _summarise(results: StudyResults, console: Console) -> None:
    letters = compare_policies(results).letters
    for policy in results.policies:
        counted = tally(results.of(policy))
        whole = counted.whole
        console.print(
            f"  {policy}: {whole.successes} of {whole.trials} (95 % interval {100 * whole.low:.0f} to "
            f"{100 * whole.high:.0f} %) {letters.get(policy, '')}".rstrip()
        )
    if len(letters) > 1:
        console.print("  [dim]policies that share a letter were not told apart by these trials[/]")
    if results.invalid or results.interrupted:
        console.print(f"  {len(results.invalid)} invalid and {results.interrupted} interrupted attempts were repeated")
    for data in results.runs:
        if data.stopped_because:
            console.print(f"  stopped early: {data.stopped_because}")
    if not results.is_revealed:
        done = sum(len(data.valid) for data in results.runs)
        console.print(f"  {done} of {results.planned} trials: policies stay sealed until all are done (or --reveal)")
