"""`vla3d evaluate`: what its command line looks like, and which of its four jobs was meant."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path

from rich.console import Console

from vla3d_ros.errors import ConfigError

_DESCRIPTION = """
vla3d evaluate PROTOCOL --policies A,B   run a protocol of config/trials: live in the twin, on a robot, or --fast
vla3d evaluate report RUN [RUN ...]      results and report of one or several runs
vla3d evaluate plan --effect 0.1         how many trials a question needs
vla3d evaluate                           a plain batch in one process, faster than real time, without ROS
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    verb = verbs.add_parser(
        "evaluate",
        help="trials that can be published: protocols, batches, sample sizes, reports",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("what", nargs="*", metavar="PROTOCOL | report RUN ... | plan", help="nothing for a plain batch")
    _add_protocol_options(verb)
    _add_batch_options(verb)
    _add_plan_options(verb)
    report = verb.add_argument_group("report")
    report.add_argument("--reveal", action="store_true", help="open the sealed key before every trial has been run")
    verb.add_argument("--out", type=Path, default=None, help="folder for what is written; default: runs/<time>")
    verb.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the results as JSON, too")
    verb.set_defaults(run=_evaluate)


def _add_protocol_options(verb: argparse.ArgumentParser) -> None:
    group = verb.add_argument_group("a protocol")
    group.add_argument("--policies", default=None, metavar="A,B", help="names of the protocol or of config/policies")
    group.add_argument("--deployment", default=None, help="instead of the protocol's; for a batch: of the demo")
    group.add_argument("--seed", type=int, default=0, help="of plan, scenes and blinding; default: %(default)s")
    group.add_argument("--twin", action="store_true", help="insist on the twin: unattended, judged by its truth")
    group.add_argument("--fast", action="store_true", help="without ROS, faster than real time; with --twin: both")
    group.add_argument("--resume", action="store_true", help="go on with the run in --out at the trial where it ended")
    group.add_argument("--live", action="store_true", help="let a robot of metal move")
    group.add_argument("--console", action="store_true", help="the operator sits at a page, not at this terminal")
    group.add_argument("--port", type=int, default=8080, help="of that page; 0: a free one; default: %(default)s")
    group.add_argument("--host", default="127.0.0.1", help="address of that page; other than loopback needs a token")


def _add_batch_options(verb: argparse.ArgumentParser) -> None:
    group = verb.add_argument_group("a batch, and --fast")
    group.add_argument("--trials", type=_positive, default=20, help="of a batch; default: %(default)s")
    group.add_argument("--variation", default=None, metavar="NAME", help="in config/variations; default: none")
    group.add_argument("--nudge", type=float, default=0.0, metavar="P", help="share of trials with a nudge, 0 to 1")
    group.add_argument("--latency-ms", type=float, default=40.0, help="from capture to chunk; default: %(default)s")
    group.add_argument("--processes", type=_positive, default=1, help="default: %(default)s")


def _add_plan_options(verb: argparse.ArgumentParser) -> None:
    group = verb.add_argument_group("plan")
    group.add_argument("--effect", type=float, default=None, metavar="D", help="difference of success rates to find")
    group.add_argument("--baseline", type=float, default=0.5, metavar="P", help="lower rate; default: %(default)s")
    group.add_argument("--power", type=float, default=0.8, help="chance to find it; default: %(default)s")
    group.add_argument("--alpha", type=float, default=0.05, help="two-sided error; default: %(default)s")
    group.add_argument(
        "--concordance",
        type=float,
        default=0.0,
        metavar="R",
        help="correlation of two policies' outcomes on the same scene, for pairs; default: %(default)s",
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not a positive number")
    return number


def _evaluate(options: argparse.Namespace, console: Console) -> int:
    match options.what:
        case []:
            if options.policies or options.resume:
                raise ConfigError("--policies and --resume need a protocol: vla3d evaluate PROTOCOL --policies A,B")
            from vla3d_ros.commands.evaluate import evaluate

            return evaluate(options, _out_dir(options), console)
        case ["report", *runs] if runs:
            from vla3d_ros.commands.evaluate_report import report

            return report([Path(run) for run in runs], options, console)
        case ["plan"]:
            from vla3d_ros.commands.evaluate_plan import plan

            return plan(options, console)
        case [protocol] if protocol != "report":
            from vla3d_ros.commands.evaluate_study import evaluate_study

            return evaluate_study(protocol, options, _out_dir(options), console)
        case other:
            raise ConfigError(
                f"'vla3d evaluate {' '.join(other)}': expected a protocol, 'report RUN [RUN ...]', 'plan' or nothing"
            )


def _out_dir(options: argparse.Namespace) -> Path:
    chosen: Path | None = options.out
    if chosen is None and options.resume:
        raise ConfigError("--resume needs --out: the folder of the run to go on with")
    return chosen if chosen else Path("runs") / datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
