"""The terminal of `vla3d teleop`: one status line, and a key for everything an operator asks for."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Iterator, Mapping
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from vla3d_ros.supervisor import Supervisor
from vla3d_ros.teleop.keys import split_keys

REQUEST_KEYS = {
    "1": "arm", "2": "disarm", "space": "stop", "0": "reset", "h": "home",
    "b": "record_start", "e": "record_stop", "y": "record_success", "n": "record_failure", "x": "record_discard",
}  # fmt: skip
QUIT_KEY = "q"
_BEAT_S = 0.05

_HELP = (
    "[b]1[/] arm  [b]2[/] disarm  [b]space[/] STOP  [b]0[/] reset  [b]h[/] home   "
    "[b]b[/] record  [b]e[/] end  [b]y[/] success  [b]n[/] failure  [b]x[/] discard   "
    "[b]g[/] gripper  [b]tab[/] arm  [b]- +[/] speed  [b]c[/] clutch  [b]q[/] quit"
)
_MOVES = "[b]w s a d[/] move  [b]r f[/] lift  [b]u o i k j l[/] turn"


class Operator(Protocol):
    """The graph, as the terminal needs it."""

    @property
    def status(self) -> Mapping[str, str]:
        """What teleoperation said last."""
        ...

    @property
    def answer(self) -> str:
        """What the last request was answered."""
        ...

    def send_keys(self, text: str) -> None:
        """Hand keys on to teleoperation."""
        ...

    def request(self, name: str) -> None:
        """Ask adapter or recorder for something."""
        ...


class Terminal:
    """Reads keys twenty times a second; each time it also tells teleoperation that the terminal is still there."""

    def __init__(self, operator: Operator, supervisor: Supervisor, console: Console, *, moves: bool) -> None:
        """Take the graph.

        Args:
            operator: Sends keys and requests.
            supervisor: Knows which process has ended.
            console: Where to draw.
            moves: Whether keys move the arm, too.
        """
        self._operator = operator
        self._supervisor = supervisor
        self._console = console
        self._moves = moves

    def run(self) -> int:
        """Drive until q or Ctrl-C; returns 1 if a process ended by itself."""
        self._console.print(_HELP + (f"\n{_MOVES}" if self._moves else ""))
        has_died = False
        with raw_terminal(sys.stdin.fileno()), Live(console=self._console, refresh_per_second=10) as live:
            while True:
                if not self.take(read_waiting(sys.stdin.fileno(), _BEAT_S)):
                    return int(has_died)
                for line in self._supervisor.newly_dead_processes():
                    has_died = True
                    live.console.print(f"[red]{escape(line)}[/]")
                live.update(status_line(self._operator.status, self._operator.answer))

    def take(self, text: str) -> bool:
        """Act on what the terminal sent; returns False if it asks to quit.

        Requests go straight to adapter and recorder, so that STOP does not depend on teleoperation.
        """
        keys = split_keys(text)
        for key in keys:
            if key in REQUEST_KEYS:
                self._operator.request(REQUEST_KEYS[key])
        self._operator.send_keys(text)
        return QUIT_KEY not in keys


def status_line(status: Mapping[str, str], answer: str) -> Table:
    """Return what the operator sees."""
    adapter = status.get("adapter", "unknown")
    colour = "red" if adapter.startswith("stopped") else "green" if adapter == "armed" else "yellow"
    arms = status.get("arms", "").split()
    hands = []
    for arm in arms:
        clutch = status.get(f"{arm}_clutch", "")
        mark = "●" if clutch == "closed" else "○"
        chosen = "underline" if arm == status.get("selected") else ""
        hands.append(
            Text(f"{mark} {arm} {clutch}", style=f"{'green' if clutch == 'closed' else 'dim'} {chosen}".strip())
        )
    line = Table.grid(padding=(0, 2))
    share = f"{100 * float(status.get('scale', 0)):.0f} %"
    age = f"{status.get('device', '')} {status.get('age_ms', '')} ms"
    cells = [Text(adapter.split(":")[0], style=f"bold {colour}"), *hands, Text(share), Text(age, style="dim")]
    line.add_row(*cells, Text(status.get("message", "waiting for teleop"), style="dim"), Text(answer, style="cyan"))
    return line


def read_waiting(descriptor: int, timeout_s: float) -> str:
    """Return what the terminal has sent, after at most `timeout_s`."""
    ready, _, _ = select.select([descriptor], [], [], timeout_s)
    return os.read(descriptor, 1024).decode("utf-8", errors="replace") if ready else ""


@contextlib.contextmanager
def raw_terminal(descriptor: int) -> Iterator[None]:
    """Read keys as they are pressed, unseen; Ctrl-C still interrupts. The terminal is left as it was found."""
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
