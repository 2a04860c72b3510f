"""The one sentence the scripted policy understands."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from vla3d_ros.errors import InstructionError

_SENTENCE = re.compile(
    r"\s*pick\s+up\s+the\s+(?P<cube>\w+)\s+cube\s+and\s+place\s+it\s+on\s+the\s+(?P<pad>\w+)\s+pad\s*\.?\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PickAndPlace:
    """Colours of the cube to take and of the pad to put it on."""

    cube: str
    pad: str


def read_instruction(instruction: str, cubes: Collection[str], pads: Collection[str]) -> PickAndPlace:
    """Understand "pick up the <colour> cube and place it on the <colour> pad".

    Args:
        instruction: The sentence; case and spacing do not matter.
        cubes: Known colours of cubes.
        pads: Known colours of pads.

    Raises:
        InstructionError: If the sentence or a colour is unknown; names the known ones.
    """
    known = f"known cubes: {', '.join(sorted(cubes))}; known pads: {', '.join(sorted(pads))}"
    match = _SENTENCE.fullmatch(instruction)
    if match is None:
        raise InstructionError(
            f"instruction {instruction!r} is not understood; expected "
            f"'pick up the <colour> cube and place it on the <colour> pad' ({known})"
        )
    cube, pad = match["cube"].lower(), match["pad"].lower()
    unknown = [f"cube '{cube}'"] * (cube not in cubes) + [f"pad '{pad}'"] * (pad not in pads)
    if unknown:
        raise InstructionError(f"instruction {instruction!r} names an unknown {' and '.join(unknown)}; {known}")
    return PickAndPlace(cube=cube, pad=pad)
