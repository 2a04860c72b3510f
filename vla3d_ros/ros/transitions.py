"""Asks a managed node to configure itself and to become active, so that a lost answer is found out."""

from __future__ import annotations

import math
from typing import Any

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.node import Node

from vla3d_ros.ros.persistent_client import PersistentClient, Question, Silence, ask_again

_TRANSITIONS = {
    "configure": (
        Transition.TRANSITION_CONFIGURE,
        State.PRIMARY_STATE_UNCONFIGURED,
        State.PRIMARY_STATE_INACTIVE,
    ),
    "activate": (Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_INACTIVE, State.PRIMARY_STATE_ACTIVE),
}


class TransitionClient:
    """Client of one node's transitions. A node that does not answer is asked for its state, which tells what it got.

    A transition is asked for again only when the node is still in the state before it: twice, it would be refused.
    """

    def __init__(self, node: Node, name: str) -> None:
        """Create the clients.

        Args:
            node: Their owner.
            name: Of the managed node, as `node` would resolve it.
        """
        self._changer = PersistentClient(node, ChangeState, f"{name}/change_state", patience_s=math.inf)
        self._teller = PersistentClient(node, GetState, f"{name}/get_state")
        self._told: Question | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the node is there."""
        return self._changer.is_ready

    def close(self) -> None:
        """Destroy the clients; nobody may be spinning the node."""
        self._changer.close()
        self._teller.close()

    def ask(self, verb: str) -> Question:
        """Ask for "configure" or "activate"; the question is over when it was granted or refused.

        Slow nodes are no news: nothing is said about a delay, and the caller ends the waiting.
        """
        transition, before, after = _TRANSITIONS[verb]
        self._told = None
        return self._changer.ask(
            ChangeState.Request(transition=Transition(id=transition)),
            on_silence=lambda: self._look(before, after),
            on_delay=lambda text: None,
        )

    def _look(self, before: int, after: int) -> Any:
        if self._told is None:
            self._told = self._teller.ask(GetState.Request(), on_silence=ask_again, on_delay=lambda text: None)
        if not self._told.is_over:
            return Silence.WAIT  # a node that is busy tells it later
        response, self._told = self._told.response, None
        state = None if response is None else response.current_state.id
        if state == after:
            return ChangeState.Response(success=True)
        return Silence.ASK_AGAIN if state == before else Silence.WAIT
