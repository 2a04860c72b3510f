"""A person at the place of the policy: which hand drives which arm, when it counts, and what is said about it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from vla3d_ros.datatypes import ActionChunk
from vla3d_ros.geometry import Transform
from vla3d_ros.teleop.chunk_maker import ChunkMaker, EeState
from vla3d_ros.teleop.device import REQUESTS, SILENT, DeviceState, HandState
from vla3d_ros.teleop.motion import Box
from vla3d_ros.teleop.settings import TeleopSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class TeleopStatus:
    """What the operator has to know.

    Attributes:
        age_s: Of the hand heard longest ago among those that drive.
        clutches: Per arm: open, closed, locked.
        selected: The arm that one hand drives; empty if every arm has a hand.
        scale: Share of full speed.
        openings: Per arm: the opening asked for, None before the first chunk.
        lost: Why the device counts as lost; empty if it does not.
        refused: Why the adapter does not follow; empty if it does.
    """

    age_s: float
    clutches: dict[str, str]
    selected: str
    scale: float
    openings: dict[str, float | None]
    lost: str
    refused: str


class Teleoperation:
    """Turns looks at a device into chunks.

    While the device is lost, chunks that hold go on for `lost_hold_s`; then there are none, and the adapter's watchdog
    latches its stop: the arm rests already. Whatever was interrupted, the clutch has to be released before it counts
    again. While the adapter refuses chunks (disarmed, stopped, on its way home), chunks hold where the arm is.
    """

    def __init__(
        self,
        settings: TeleopSettings,
        arms: Sequence[str],
        box: Box | None = None,
        T_base_device: Transform | None = None,
    ) -> None:
        """Start with nothing heard.

        Args:
            settings: How a person drives.
            arms: Names of the arms, in the robot's order.
            box: Where the end effectors may go.
            T_base_device: How the device's axes lie in the base's.
        """
        self._settings = settings
        self._arms = tuple(arms)
        self._maker = ChunkMaker(settings, arms, box, T_base_device)
        self._selected = 0
        self._scale = len(settings.scales) - 1
        self._has_terminal_clutch = False
        self._last_heard_s: float | None = None
        self._now_s = 0.0
        self._lost = "never heard"
        self._age_s = math.inf
        self._poses: dict[str, Transform] = {}
        self._refused = "no verdict yet"
        self._needs_selection = False

    def note_verdict(self, refusal: str) -> None:
        """Take note of what the adapter said to the newest chunk: why it refused it, or an empty text."""
        self._refused = refusal

    def release(self) -> None:
        """Open the clutch that was closed from a terminal: the terminal is gone."""
        self._has_terminal_clutch = False

    def look(self, device: DeviceState, now_s: float) -> list[str]:
        """Take a look at the device; do it more often than chunks are made, so that no press is missed.

        Args:
            device: What it says.
            now_s: Steady time.

        Returns:
            The requests among the presses, for adapter and recorder.
        """
        self._now_s = now_s
        hands = self._hands(device)
        self._age_s = max(hand.age_s for hand in hands.values())
        self._lost = self._why_lost(device, hands)
        if not self._lost:
            self._last_heard_s = now_s
        if self._lost or self._refused:
            self._has_terminal_clutch, hands = False, {}
        self._maker.look(hands)
        for press in device.presses:
            self._act_on(press)
        return [press for press in device.presses if press in REQUESTS]

    def chunk(self, stamp_ns: int, ee: EeState) -> ActionChunk | None:
        """Return the chunk for one instant, or None while the device was never heard or is lost for long.

        Args:
            stamp_ns: When the arms were measured.
            ee: Where they were.
        """
        if self._refused:
            self._maker.follow_arms()
        silent_s = math.inf if self._last_heard_s is None else self._now_s - self._last_heard_s
        if self._lost and silent_s > self._settings.lost_hold_s:
            self._maker.follow_arms()
            return None
        return self._maker.make(stamp_ns, ee, self._settings.scales[self._scale])

    def status(self) -> TeleopStatus:
        """Return what the operator has to know."""
        return TeleopStatus(
            age_s=self._age_s,
            clutches={name: arm.clutch.state.value for name, arm in self._maker.arms.items()},
            selected=self._arms[self._selected] if self._needs_selection else "",
            scale=self._settings.scales[self._scale],
            openings={name: arm.gripper.wanted for name, arm in self._maker.arms.items()},
            lost=self._lost,
            refused=self._refused,
        )

    # ------------------------------------------------------------------------------------------- private

    def _hands(self, device: DeviceState) -> dict[str, HandState]:
        """Return the hand of each arm: one each if there are enough, else the first hand has the selected arm."""
        hands = device.hands or (SILENT,)
        self._needs_selection = len(hands) < len(self._arms)
        drivers = {self._arms[self._selected]: hands[0]}
        if not self._needs_selection:
            drivers = dict(zip(self._arms, hands, strict=False))
        if self._settings.clutch == "terminal":
            drivers = {arm: replace(hand, clutch=self._has_terminal_clutch) for arm, hand in drivers.items()}
        return drivers

    def _why_lost(self, device: DeviceState, hands: Mapping[str, HandState]) -> str:
        if device.trouble:
            return device.trouble
        poses, self._poses = self._poses, {}
        for arm, hand in hands.items():
            if hand.age_s > self._settings.stale_s:
                return f"silent for {hand.age_s:.2f} s" if math.isfinite(hand.age_s) else "never heard"
            if not hand.is_finite:
                return "sends numbers that are not finite"
            now = hand.T_device_hand
            if now is None:
                continue
            self._poses[arm] = now
            gap_m, gap_rad = poses[arm].distance_to(now) if arm in poses else (0.0, 0.0)
            if gap_m > self._settings.jump_m or gap_rad > self._settings.jump_rad:
                return f"pose jumped by {1e3 * gap_m:.0f} mm and {math.degrees(gap_rad):.0f} deg"
        return ""

    def _act_on(self, press: str) -> None:
        if press in ("faster", "slower"):
            step = 1 if press == "faster" else -1
            self._scale = min(max(self._scale + step, 0), len(self._settings.scales) - 1)
        elif press == "next_arm":
            self._maker.hold()
            self._poses = {}
            self._selected = (self._selected + 1) % len(self._arms)
        elif press == "clutch":
            self._has_terminal_clutch = not self._has_terminal_clutch
        elif press in ("gripper", "open", "close") and not self._refused:
            self._maker.arms[self._arms[self._selected]].gripper.press(press)
