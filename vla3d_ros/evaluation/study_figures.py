"""The drawings of a study's report: rates, differences, time to success, failures, order of trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from vla3d_ros.evaluation.figures import FAINT, INK, MUTED, RULE, Canvas
from vla3d_ros.evaluation.statistics.survival import success_times, survival_curve
from vla3d_ros.evaluation.study import FailureKind
from vla3d_ros.evaluation.study_comparison import PolicyComparison
from vla3d_ros.evaluation.study_results import PooledTrial, StudyResults, failure_counts, tally

PALETTE = ("#0f766e", "#b45309", "#4338ca", "#be185d", "#4d7c0f", "#0369a1", "#7c2d12", "#525252")
BAD = "#b42318"
_FAILURES = ("#7c3aed", "#b45309", "#0369a1", "#be185d", "#b42318", "#525252", "#a3a3a3", "#4d7c0f")
_MOST_STRIP = 400


def colours(policies: Sequence[str]) -> dict[str, str]:
    """Return a colour for every policy."""
    return {policy: PALETTE[index % len(PALETTE)] for index, policy in enumerate(policies)}


def rates_svg(results: StudyResults) -> str:
    """Draw every policy's success rate with its Wilson interval, over all trials and in every setting."""
    hues = colours(results.policies)
    settings = [setting.name for setting in results.study.settings]
    groups = ["all trials", *settings] if len(settings) > 1 else ["all trials"]
    rows = [(group, policy) for group in groups for policy in results.policies]
    with Canvas("half", 5.5, 0.8 + 0.3 * len(rows)) as canvas:
        (axes,) = canvas.axes
        for y, (group, policy) in enumerate(rows):
            whole = tally(results.of(policy, lambda t, g=group: g in ("all trials", t.condition.setting))).whole  # type: ignore[misc]
            axes.plot((100 * whole.low, 100 * whole.high), (y, y), color=hues[policy], linewidth=2.2, alpha=0.45)
            axes.plot(100 * whole.rate, y, "o", color=hues[policy], markersize=6, clip_on=False, zorder=3)
            axes.annotate(
                f"{whole.successes}/{whole.trials}",
                (101.5, y),
                fontsize=8,
                va="center",
                color=MUTED,
                annotation_clip=False,
            )
        labels = [policy if len(groups) == 1 else f"{policy} · {group}" for group, policy in rows]
        axes.set_yticks(range(len(rows)), labels)
        axes.set(xlim=(0, 100), ylim=(len(rows) - 0.4, -0.6), xlabel="success / %")
        axes.tick_params(axis="y", pad=6)
        axes.set_title("Success rate with 95 % Wilson interval")
        axes.grid(axis="y", visible=False)
        return canvas.svg()


def differences_svg(pairs: Sequence[PolicyComparison]) -> str | None:
    """Draw the difference of every pair of policies with its interval; None without pairs."""
    if not pairs:
        return None
    with Canvas("half", 5.5, 0.8 + 0.42 * max(2, len(pairs))) as canvas:
        (axes,) = canvas.axes
        axes.axvline(0, color=MUTED, linewidth=0.9)
        for y, pair in enumerate(pairs):
            axes.plot((100 * pair.low, 100 * pair.high), (y, y), color=INK, linewidth=1.6)
            axes.plot(100 * pair.difference, y, "s", color=INK, markersize=6, clip_on=False, zorder=3)
        axes.set_yticks(range(len(pairs)), [f"{pair.first} − {pair.second}" for pair in pairs])
        reach = max(10.0, *(100 * max(abs(pair.low), abs(pair.high)) for pair in pairs)) * 1.05
        axes.set(xlim=(-reach, reach), ylim=(len(pairs) - 0.4, -0.6), xlabel="difference of success rates / points")
        axes.set_title("Differences with 95 % interval")
        axes.grid(axis="y", visible=False)
        return canvas.svg()


def times_svg(results: StudyResults) -> str:
    """Draw how many trials had succeeded by when; failures count as "not until the timeout"."""
    timeout_s = max(task.timeout_s for task in results.study.tasks)
    with Canvas("half", 5.5, 3.0) as canvas:
        (axes,) = canvas.axes
        for policy, hue in colours(results.policies).items():
            trials = results.of(policy)
            if not trials:
                continue
            times, success = success_times(
                [t.record.sim_s for t in trials], [t.record.is_success for t in trials], timeout_s
            )
            curve = survival_curve(times, success)
            t = np.concatenate(([0.0], curve.times_s, [timeout_s]))
            done, low, high = (
                100 * (1 - np.concatenate(([1.0], values, values[-1:] if len(values) else [1.0])))
                for values in (curve.survival, curve.high, curve.low)
            )
            axes.fill_between(t, low, high, step="post", color=hue, alpha=0.12, linewidth=0)
            axes.step(t, done, where="post", color=hue, linewidth=1.7, label=policy)
        axes.axvline(timeout_s, color=MUTED, linewidth=0.9, linestyle=(0, (3, 3)))
        axes.set(
            xlim=(0, timeout_s * 1.02), ylim=(0, 102), xlabel="time since the instruction / s", ylabel="succeeded / %"
        )
        axes.set_title("Time to success (dashed: timeout)")
        _legend(canvas, colours(results.policies))
        return canvas.svg()


def sub_tasks_svg(results: StudyResults) -> str | None:
    """Draw how many trials did each sub-task, policy beside policy; None without sub-tasks."""
    steps = [(task, step) for task in results.study.tasks for step in task.sub_tasks]
    if not steps:
        return None
    hues = colours(results.policies)
    thick = 0.8 / max(1, len(results.policies))
    with Canvas("half", 5.5, 0.9 + 0.22 * len(steps) * (0.6 + len(results.policies))) as canvas:
        (axes,) = canvas.axes
        for index, policy in enumerate(results.policies):
            for y, (task, step) in enumerate(steps):
                done = _done(results.of(policy, lambda t, n=task.name: t.condition.task == n), step.name)  # type: ignore[misc]
                share = 100 * sum(done) / len(done) if done else 0.0
                at = y + (index - (len(results.policies) - 1) / 2) * thick
                axes.barh(at, 100, height=thick * 0.86, color=FAINT)
                axes.barh(at, share, height=thick * 0.86, color=hues[policy])
        several = len(results.study.tasks) > 1
        axes.set_yticks(
            range(len(steps)), [f"{task.name} · {step.name}" if several else step.name for task, step in steps]
        )
        axes.set(xlim=(0, 100), ylim=(len(steps) - 0.4, -0.6), xlabel="trials in which it was done / %")
        axes.set_title("Sub-tasks")
        axes.grid(visible=False)
        _legend(canvas, hues)
        return canvas.svg()


def failures_svg(results: StudyResults) -> str | None:
    """Draw why trials failed, as counts; invalid attempts beside them. None if all went well."""
    kinds = [*(kind.value for kind in FailureKind), "timeout"]
    counts = {policy: failure_counts(results, policy) for policy in results.policies}
    shown = [kind for kind in kinds if any(count[kind] for count in counts.values())]
    if not shown:
        return None
    with Canvas("half", 5.5, 1.3 + 0.4 * len(results.policies)) as canvas:
        (axes,) = canvas.axes
        for y, policy in enumerate(results.policies):
            left = 0
            for kind in shown:
                hue = _FAILURES[kinds.index(kind) % len(_FAILURES)]
                axes.barh(y, counts[policy][kind], left=left, height=0.55, color=hue, label=kind if y == 0 else None)
                left += counts[policy][kind]
        axes.set_yticks(range(len(results.policies)), list(results.policies))
        axes.set(ylim=(len(results.policies) - 0.4, -0.6), xlabel="failed trials")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title("Why trials failed")
        axes.grid(axis="y", visible=False)
        _legend(canvas, {kind: _FAILURES[kinds.index(kind) % len(_FAILURES)] for kind in shown})
        return canvas.svg()


def order_svg(results: StudyResults) -> str:
    """Draw outcome by outcome in the order in which trials were run: drift and fatigue show as runs of failures."""
    trials = results.trials[-_MOST_STRIP:]
    rows = {policy: y for y, policy in enumerate(results.policies)}
    hues = colours(results.policies)
    with Canvas("wide", 11.3, 0.75 + 0.3 * len(rows)) as canvas:
        (axes,) = canvas.axes
        for x, trial in enumerate(trials, start=1):
            is_success = trial.record.is_success
            axes.plot(
                x,
                rows[trial.policy],
                marker="o" if is_success else "X",
                color=hues[trial.policy] if is_success else BAD,
                markersize=6 if len(trials) < 120 else 3,
                linestyle="none",
            )
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set(xlim=(0.5, max(1, len(trials)) + 0.5), ylim=(len(rows) - 0.4, -0.6), xlabel="trials in their order")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_title("Order of trials: dot = success, cross = failure")
        axes.grid(axis="y", color=RULE)
        return canvas.svg()


def _done(trials: Sequence[PooledTrial], step: str) -> list[bool]:
    return [trial.record.sub_tasks[step] for trial in trials if step in trial.record.sub_tasks]


def _legend(canvas: Canvas, hues: Mapping[str, str]) -> None:
    """Put names and colours below the drawing."""
    handles = [Line2D([], [], marker="s", linestyle="", color=hue) for hue in hues.values()]
    canvas.figure.legend(handles, list(hues), loc="outside lower center", ncol=4, fontsize=8.5)
