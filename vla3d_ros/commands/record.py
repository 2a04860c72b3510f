"""`vla3d record`: episodes of a deployment, by an operator with a few keys, or unattended."""

from __future__ import annotations

import argparse
import contextlib
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from vla3d_ros.commands.graph import running_graph
from vla3d_ros.deployment import Deployment, load_deployment
from vla3d_ros.errors import ConfigError, RecordingError
from vla3d_ros.recording.operator_desk import OperatorDesk
from vla3d_ros.resources import config_dir
from vla3d_ros.ros.environment import prepare_environment

_POLL_S = 0.1
_DeadProcesses = Callable[[], list[str]]


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `record`."""
    record = verbs.add_parser("record", help="record episodes: health gate, countdown, keys, one bag each")
    record.add_argument("deployment", help="name in config/deployments, or the path of a YAML file")
    record.add_argument("--attach", action="store_true", help="join a deployment that is up; its recorder records")
    record.add_argument("--episodes", type=int, default=None, metavar="N", help="end after N; default: by key")
    record.add_argument("--seconds", type=float, default=None, metavar="S", help="end each by itself, without keys")
    record.add_argument("--instruction", default="", help="what is to be done, stored with every episode")
    record.add_argument(
        "--tell-policy", action="store_true", help="publish the instruction for the policy while recording"
    )
    record.add_argument("--operator", default="", help="who records, stored with every episode")
    record.add_argument("--countdown", type=float, default=0.0, metavar="S", help="from key to start")
    record.add_argument("--jpeg", type=int, default=0, metavar="Q", help="JPEG quality of colour images; default: raw")
    record.add_argument("--min-free-mb", type=float, default=500.0, metavar="MB", help="default: %(default)g")
    record.add_argument("--force", action="store_true", help="start in spite of the health gate; it is written down")
    record.add_argument(
        "--live", action="store_true", help="let a robot of metal move; without it, plans are only shown"
    )
    record.add_argument("--out", type=Path, default=None, help="folder of the episodes; default: runs/<time>")
    record.set_defaults(run=record_episodes)


def record_episodes(options: argparse.Namespace, console: Console) -> int:
    """Bring the deployment up, or join it, and record.

    Returns:
        0 if every episode wanted was recorded.
    """
    if options.seconds is None and not sys.stdin.isatty():
        raise ConfigError("the keys of `vla3d record` need a terminal; without one, say --seconds S and --episodes N")
    out = (options.out or Path("runs") / datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")).resolve()
    deployment = load_deployment(options.deployment, config_dir(), _overrides(options, out), is_live=options.live)
    if not any("recorder" in process.nodes for process in deployment.processes):
        raise ConfigError(f"deployment '{deployment.name}' has no recorder; add it to 'processes' and 'nodes'")
    with _graph(deployment, out, options, console) as dead_processes:
        return _record(deployment, options, console, dead_processes)


def _overrides(options: argparse.Namespace, out: Path) -> dict[str, dict[str, object]]:
    return {
        "recorder": {
            "output_dir": str(out),
            "jpeg_quality": options.jpeg,
            "min_free_mb": options.min_free_mb,
            "gate": True,
            "operator": options.operator,
        }
    }


@contextlib.contextmanager
def _graph(
    deployment: Deployment, out: Path, options: argparse.Namespace, console: Console
) -> Iterator[_DeadProcesses]:
    if options.attach:
        prepare_environment()
        console.print(f"joining [bold]{deployment.name}[/]; its recorder says where episodes go, and how")
        yield list
        return
    with running_graph(deployment, out / "logs", is_private=False) as supervisor:
        from vla3d_ros.ros.bring_up import bring_up  # needs rclpy, which the environment has to be prepared for

        with console.status("bringing the deployment up"):
            bring_up(deployment.node_names, on_active=lambda _: None, dead_processes=supervisor.dead_processes)
        console.print(f"[bold]{deployment.name}[/] is up · episodes go to {out}")
        yield supervisor.dead_processes


def _record(
    deployment: Deployment, options: argparse.Namespace, console: Console, dead_processes: _DeadProcesses
) -> int:
    from vla3d_ros.ros.recorder_link import RecorderLink  # needs rclpy

    link = RecorderLink(
        f"/{deployment.namespace}",
        instruction=options.instruction,
        operator=options.operator,
        tells_policy=options.tell_policy,
    )
    with contextlib.ExitStack() as stack:
        stack.callback(link.close)
        keyboard = stack.enter_context(_Keyboard())
        desk = OperatorDesk(
            link,
            episodes=options.episodes if options.seconds is None else options.episodes or 1,
            countdown_s=options.countdown,
            seconds=options.seconds,
            is_forced=options.force,
            say=lambda sentence: console.print(escape(sentence)),
            ask=keyboard.ask,
        )
        status = stack.enter_context(console.status(""))
        while not desk.is_done:
            link.spin(_POLL_S)
            if dead := dead_processes():
                remedy = "an open episode is in its .partial folder: `vla3d bag recover` saves it"
                raise RecordingError(f"{'; '.join(dead)}; {remedy}")
            for key in keyboard.pressed():
                desk.press(key, time.monotonic())
            desk.tick(time.monotonic())
            status.update(escape(desk.line(time.monotonic())))
    wanted = options.episodes or desk.recorded
    console.print(f"{desk.recorded} episode{'' if desk.recorded == 1 else 's'} recorded")
    return int(desk.recorded < wanted or desk.recorded == 0)


class _Keyboard:
    """Single keys of a terminal; silent where there is none."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdin.isatty()

    def __enter__(self) -> _Keyboard:
        if self._is_terminal:
            self._before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_terminal:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def pressed(self) -> Iterator[str]:
        """Yield the keys pressed since the last call."""
        while self._is_terminal and select.select([sys.stdin], [], [], 0.0)[0]:
            yield sys.stdin.read(1)

    def ask(self) -> str:
        """Read a line, with the terminal as it usually is."""
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)
        try:
            sys.stdout.write("\nnote: ")
            sys.stdout.flush()
            return sys.stdin.readline().strip()
        finally:
            tty.setcbreak(sys.stdin)
