"""Which prompt picture belongs to the instruction in force."""

from __future__ import annotations

import re

from vla3d_ros.datatypes import ReferringPrompt

_SPOKEN = re.compile(r"\bwith the (\w+)-colored mask\b", re.IGNORECASE)


def spoken_colour(instruction: str) -> str | None:
    """Return the colour in "the object with the <colour>-colored mask" (GEAR-VLA, App. F); None without such words."""
    found = _SPOKEN.search(instruction)
    return found.group(1).lower() if found else None


class PromptPairing:
    """Prompts and instructions come on two topics, in either order; the colour that both name joins them.

    A prompt serves one instruction. An instruction that speaks of no mask, or an empty one, ends the prompt before it.
    """

    def __init__(self) -> None:
        self._waiting: ReferringPrompt | None = None
        self._colour: str | None = None
        self._instruction = ""
        self.current: ReferringPrompt | None = None
        """The prompt of the instruction in force."""

    def add_prompt(self, prompt: ReferringPrompt) -> None:
        """Take a prompt: for the instruction in force if that lacks this one, else for the next."""
        self._waiting = prompt
        self._join()

    def start(self, instruction: str) -> None:
        """Begin a new instruction."""
        self.current = None
        self._instruction, self._colour = instruction, spoken_colour(instruction)
        self._join()

    def problem(self, *, is_required: bool) -> str:
        """Return what is missing for the instruction in force, empty if nothing is.

        Args:
            is_required: The policy can not do without a prompt, whatever the instruction says.
        """
        if not self._instruction or self.current is not None:
            return ""
        if self._colour is not None:
            other = f", only one in {self._waiting.colour}" if self._waiting else ""
            return (
                f"instruction '{self._instruction}' speaks of a {self._colour} mask, and no prompt picture with one "
                f"has come{other}; publish it on 'policy/prompt', before or after the instruction"
            )
        if is_required:
            return (
                f"the policy needs a prompt picture, and instruction '{self._instruction}' speaks of no mask; publish "
                "the picture on 'policy/prompt' and say 'the object with the <colour>-colored mask'"
            )
        return ""

    def _join(self) -> None:
        if self.current is None and self._waiting is not None and self._waiting.colour == self._colour:
            self.current, self._waiting = self._waiting, None
