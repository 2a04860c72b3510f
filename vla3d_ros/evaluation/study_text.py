"""Tables for papers: the main table as Markdown and as LaTeX (booktabs)."""

from __future__ import annotations

from vla3d_ros.evaluation.study_table import ResultTable, TableCell

_LATEX = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$"}


def cell_text(cell: TableCell | None, *, has_sub_tasks: bool) -> str:
    """Return a cell with counts, rate and interval, e.g. "6/10 (60 %) [31, 83]"; with sub-tasks "83 % / " before it."""
    if cell is None:
        return "–"
    if cell.tally is None:
        return f"{100 * cell.rate:.1f} %"
    whole = cell.tally.whole
    text = (
        f"{whole.successes}/{whole.trials} ({100 * whole.rate:.0f} %) [{100 * whole.low:.0f}, {100 * whole.high:.0f}]"
    )
    return f"{100 * cell.tally.sub_task_share:.0f} % / {text}" if has_sub_tasks else text


def to_markdown(table: ResultTable) -> str:
    """Return a Markdown table; column keys are joined with a slash."""
    names = [" / ".join(part for part in column if part) or "all" for column in table.columns]
    lines = [
        f"| {' / '.join(table.row_factors)} | {' | '.join(names)} |",
        f"|{'---|' * (1 + len(names))}",
    ]
    for key, cells in table.rows:
        texts = [cell_text(cell, has_sub_tasks=table.has_sub_tasks) for cell in cells]
        lines.append(f"| {' / '.join(part for part in key if part) or 'all'} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


def to_latex(table: ResultTable) -> str:
    """Return a LaTeX table for the package booktabs; cells as in Markdown."""
    width = len(table.columns)
    lines = [rf"\begin{{tabular}}{{l{'c' * width}}}", r"\toprule"]
    for level, groups in enumerate(table.header_groups()):
        head = _escape(" / ".join(table.row_factors)) if level == len(table.column_factors) - 1 else ""
        spans = [rf"\multicolumn{{{span}}}{{c}}{{{_escape(name or 'all')}}}" for name, span in groups]
        lines.append(f"{head} & {' & '.join(spans)} \\\\")
    lines.append(r"\midrule")
    for key, cells in table.rows:
        texts = [_escape(cell_text(cell, has_sub_tasks=table.has_sub_tasks)) for cell in cells]
        name = _escape(" / ".join(part for part in key if part) or "all")
        lines.append(f"{name} & {' & '.join(texts)} \\\\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _escape(text: str) -> str:
    escaped = "".join(_LATEX.get(character, character) for character in text)
    return escaped.replace("–", "--")
