"""`vla3d`: the one command. Every verb calls one function of `vla3d_ros.commands`."""

from __future__ import annotations

import argparse
import signal
import sys
from datetime import datetime
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.markup import escape

from vla3d_ros import __version__
from vla3d_ros.commands import (
    bag,
    bench_adapter,
    bench_adapter_rate,
    bench_faults,
    bench_policy_rate,
    bench_record,
    bench_seams,
    bench_tabletop,
    calibrate,
    check,
    console,
    demonstrate,
    evaluate_verb,
    export,
    policy,
    record,
    replay,
    robots,
    teleop,
    train,
)
from vla3d_ros.errors import Vla3dError

_INTERRUPTED = 130
_PLAIN_WIDTH = 160  # when the output is a file or a pipe


def main(argv: list[str] | None = None) -> int:
    """Run one verb; errors a user can act on are one red paragraph and exit code 2, not a traceback."""
    options = _parser().parse_args(argv)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PLAIN_WIDTH)
    signal.signal(signal.SIGTERM, _as_interrupt)
    signal.signal(signal.SIGINT, _as_interrupt)  # also when a shell started us in the background
    try:
        return int(options.run(options, console))
    except Vla3dError as error:
        Console(stderr=True, highlight=False).print(f"[red]{type(error).__name__}[/]: {escape(str(error))}")
        return 2
    except KeyboardInterrupt:
        console.print("interrupted; everything that was started has ended")
        return _INTERRUPTED


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vla3d", description="Drive real arms with 3D-aware policies.")
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add_demo(verbs)
    _add_up(verbs)
    evaluate_verb.add_parser(verbs)
    _add_retarget(verbs)
    _add_bench(verbs)
    record.add_parser(verbs)
    bag.add_parser(verbs)
    replay.add_parser(verbs)
    export.add_parser(verbs)
    robots.add_parser(verbs)
    check.add_parser(verbs)
    calibrate.add_parser(verbs)
    policy.add_parser(verbs)
    demonstrate.add_parser(verbs)
    teleop.add_parser(verbs)
    train.add_parser(verbs)
    console.add_parser(verbs)
    return parser


def _add_demo(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = verbs.add_parser("demo", help="run pick-and-place trials through the whole live graph and write a report")
    demo.add_argument("--protocol", default="demo", help="name in config/trials; default: %(default)s")
    demo.add_argument("--deployment", default=None, help="instead of the protocol's")
    demo.add_argument(
        "--policy",
        default=None,
        metavar="NAME",
        help="in config/policies; scripted: the deployment's; default: vla3d_tabletop where models/ has it and it fits",
    )
    demo.add_argument("--trials", type=_positive, default=None, help="instead of the protocol's")
    demo.add_argument("--seed", type=int, default=None, help="seed of the first scene, instead of the protocol's")
    _add_outputs(demo)
    demo.set_defaults(run=_demo)


def _add_up(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    up = verbs.add_parser("up", help="bring a deployment up and keep it up until Ctrl-C")
    up.add_argument("deployment", help="name in config/deployments, or the path of a YAML file")
    up.add_argument("--out", type=Path, default=None, help="folder for logs and bags; default: runs/<time>")
    up.add_argument("--live", action="store_true", help="let a robot of metal move; without it, plans are only shown")
    up.add_argument("--policy", default=None, metavar="NAME", help="in config/policies; scripted: the deployment's")
    up.set_defaults(run=_up)


def _add_retarget(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    retarget = verbs.add_parser("retarget", help="drive the twin with recorded demonstrations of a real arm")
    retarget.add_argument("files", nargs="+", type=Path, metavar="FILE.npy")
    retarget.add_argument("--deployment", default=None, help="default: that of config/trials/demo.yaml")
    _add_outputs(retarget)
    retarget.set_defaults(run=_retarget)


def _add_bench(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    bench = verbs.add_parser("bench", help="measure")
    what = bench.add_subparsers(required=True, metavar="WHAT")
    bench_adapter.add_parser(what)
    bench_faults.add_parser(what)
    bench_adapter_rate.add_parser(what)
    bench_policy_rate.add_parser(what)
    bench_seams.add_parser(what)
    bench_tabletop.add_parser(what)
    bench_record.add_parser(what)
    transport = what.add_parser(
        "transport", help="lost sets and latency from camera to observation, beside the ROS default"
    )
    transport.add_argument("--seconds", type=float, default=60.0, help="for each way; default: %(default)s")
    transport.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the figures as JSON")
    transport.set_defaults(run=_bench_transport)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not a positive number")
    return number


def _add_outputs(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--out", type=Path, default=None, help="folder for what is written; default: runs/<time>")
    verb.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the results as JSON, too")


def _out_dir(options: argparse.Namespace) -> Path:
    chosen: Path | None = options.out
    return chosen if chosen else Path("runs") / datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")


def _demo(options: argparse.Namespace, console: Console) -> int:
    from vla3d_ros.commands.demo import demo

    return demo(options, _out_dir(options), console)


def _up(options: argparse.Namespace, console: Console) -> int:
    from vla3d_ros.commands.up import up

    return up(options.deployment, _out_dir(options), console, is_live=options.live, policy=options.policy)


def _retarget(options: argparse.Namespace, console: Console) -> int:
    from vla3d_ros.commands.retarget import retarget

    return retarget(options, _out_dir(options), console)


def _bench_transport(options: argparse.Namespace, console: Console) -> int:
    from vla3d_ros.commands.bench import bench_transport

    return bench_transport(options, console)


if __name__ == "__main__":
    sys.exit(main())
