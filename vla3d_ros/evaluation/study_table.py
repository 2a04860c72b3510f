"""The main table, laid out like the paper's: which factors are rows and columns is the protocol's choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from vla3d_ros.evaluation.study_results import PooledTrial, StudyResults, Tally, tally

_AVERAGE = "Avg."
_OVERALL = "Overall"
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCell:
    """Counts of one cell, or only a mean of cells (`tally` None). Rates are fractions of 1."""

    rate: float
    tally: Tally | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultTable:
    """Rows by key and columns by key; a missing cell has no trials. `has_sub_tasks`: cells are "sub / whole"."""

    row_factors: Key
    column_factors: Key
    columns: tuple[Key, ...]
    rows: tuple[tuple[Key, tuple[TableCell | None, ...]], ...]
    has_sub_tasks: bool

    def header_groups(self) -> list[list[tuple[str, int]]]:
        """Return the header lines: names with how many columns they span."""
        return [
            [(key[level], len(list(group))) for key, group in groupby(self.columns, lambda c, n=level: c[: n + 1])]  # type: ignore[misc]
            for level in range(len(self.column_factors))
        ]


def result_table(results: StudyResults) -> ResultTable:
    """Arrange a study's results as its protocol asks for.

    Beside several columns of one policy or setting stands their plain mean ("Avg."), as papers print it; below several
    rows, or beside several columns, that are no policies stand all their trials pooled ("Overall").
    """
    layout = results.study.table
    rows = _levels(results, layout.rows)
    columns = _levels(results, layout.columns)
    body = []
    for row in rows:
        body.append((row, tuple(_cells(results, layout.rows, row, layout.columns, columns))))
    if len(rows) > 1 and "policy" not in layout.rows:
        overall = (_OVERALL, *("" for _ in layout.rows[1:]))
        body.append((overall, tuple(_cells(results, (), (), layout.columns, columns))))
    if len(columns) > 1 and len(layout.columns) == 1 and "policy" not in layout.columns:
        columns = [*columns, (_OVERALL,)]
        pooled = [_cells(results, layout.rows, row, (), [()]) for row in rows]
        body = [(key, (*cells, *overall)) for (key, cells), overall in zip(body, pooled, strict=True)]
    table = ResultTable(
        row_factors=layout.rows,
        column_factors=layout.columns,
        columns=tuple(columns),
        rows=tuple(body),
        has_sub_tasks=layout.cell == "sub_whole",
    )
    return _with_averages(table) if layout.cell == "rate" and len(layout.columns) > 1 else table


def _cells(
    results: StudyResults, row_factors: Key, row: Key, column_factors: Key, columns: Sequence[Key]
) -> list[TableCell | None]:
    cells: list[TableCell | None] = []
    for column in columns:
        wanted = dict(zip((*row_factors, *column_factors), (*row, *column), strict=True))
        found = [trial for trial in results.trials if all(_level(trial, f) == v for f, v in wanted.items())]
        counted = tally(found) if found else None
        cells.append(TableCell(rate=counted.whole.rate, tally=counted) if counted else None)
    return cells


def _with_averages(table: ResultTable) -> ResultTable:
    """Put the plain mean of each leading group's columns behind them."""
    columns: list[Key] = []
    rows: list[list[TableCell | None]] = [[] for _ in table.rows]
    start = 0
    for lead, group in groupby(table.columns, lambda column: column[:-1]):
        width = len(list(group))
        has_average = width > 1
        columns += [*table.columns[start : start + width], *([(*lead, _AVERAGE)] if has_average else [])]
        for row, (_, cells) in zip(rows, table.rows, strict=True):
            part = cells[start : start + width]
            rates = [cell.rate for cell in part if cell is not None]
            average = TableCell(rate=sum(rates) / len(rates)) if rates else None
            row += [*part, *([average] if has_average else [])]
        start += width
    return ResultTable(
        row_factors=table.row_factors,
        column_factors=table.column_factors,
        columns=tuple(columns),
        rows=tuple((key, tuple(row)) for (key, _), row in zip(table.rows, rows, strict=True)),
        has_sub_tasks=table.has_sub_tasks,
    )


def _levels(results: StudyResults, factors: Key) -> list[Key]:
    """Return the combinations of factors that occur, in the protocol's order."""
    study = results.study
    order = {
        "policy": list(results.policies),
        "task": [task.name for task in study.tasks],
        "setting": [setting.name for setting in study.settings],
        "category": [*dict.fromkeys(thing.category for thing in study.objects), ""],
        "object": [*(thing.name for thing in study.objects), ""],
    }
    found = {tuple(_level(trial, factor) for factor in factors) for trial in results.trials}
    return sorted(found, key=lambda key: [order[f].index(v) for f, v in zip(factors, key, strict=True)])


def _level(trial: PooledTrial, factor: str) -> str:
    return trial.policy if factor == "policy" else str(getattr(trial.condition, factor))
