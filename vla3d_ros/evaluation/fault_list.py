"""The faults that every change has to survive. Order: the processes that a fault ends come last."""

from __future__ import annotations

from collections.abc import Callable

from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.faults import Fault, FaultTools

_STOPPING_SEEKERS = ("workspace", "table", "self_collision", "joint_position", "keep_out")


def all_faults(random_s: float) -> tuple[Fault, ...]:
    """Return every fault.

    Args:
        random_s: How long (simulated time) the random policy drives.
    """
    return (*_bad_chunks(), *_bad_policies(random_s), *_robot_faults(), *_graph_faults(), *_process_faults())


def pick_faults(names: tuple[str, ...], random_s: float) -> tuple[Fault, ...]:
    """Return the named faults in the order of the list; all if none is named.

    Raises:
        ConfigError: If a name is unknown; lists all.
    """
    faults = all_faults(random_s)
    known = [fault.name for fault in faults]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"unknown faults {unknown}: expected some of {known}")
    return tuple(fault for fault in faults if not names or fault.name in names)


def _chunk(flaw: str) -> Callable[[FaultTools], None]:
    return lambda tools: tools.send_chunk(flaw)


def _twin(fault: str) -> Callable[[FaultTools], None]:
    return lambda tools: tools.break_twin(fault)


def _steer(course: str, seconds: float) -> Callable[[FaultTools], None]:
    return lambda tools: tools.steer(course, seconds)


def _bad_chunks() -> tuple[Fault, ...]:
    malformed = ("chunk_malformed",)
    return (
        Fault(name="nan_chunk", title="a chunk with NaN positions", strike=_chunk("nan"), stops=("finite",)),
        Fault(name="inf_gripper", title="a chunk with an infinite opening", strike=_chunk("inf"), stops=("finite",)),
        Fault(name="wide_gripper", title="an opening of twice the stroke", strike=_chunk("wide"), stops=("gripper",)),
        Fault(name="bad_quaternion", title="quaternions of length 2", strike=_chunk("quaternion"), stops=malformed),
        Fault(name="unknown_arm", title="a chunk for another arm", strike=_chunk("arm"), stops=malformed),
        Fault(name="wrong_names", title="a chunk without the gripper", strike=_chunk("names"), stops=malformed),
        Fault(name="empty_chunk", title="a chunk without steps", strike=_chunk("empty"), stops=malformed),
        Fault(name="ragged_times", title="steps that are not equally spaced", strike=_chunk("ragged"), stops=malformed),
        Fault(name="huge_chunk", title="a chunk of 2000 steps", strike=_chunk("huge"), stops=("chunk_shape",)),
        Fault(name="tiny_dt", title="steps 0.01 ms apart", strike=_chunk("tiny_dt"), stops=("chunk_step",)),
        Fault(name="stale_chunk", title="an observation 2 s old", strike=_chunk("stale"), refuses="chunk_age"),
        Fault(name="future_chunk", title="a stamp 1 s ahead", strike=_chunk("future"), refuses="chunk_future"),
        Fault(name="repeated_chunk", title="an observation seen before", strike=_chunk("old"), refuses="chunk_order"),
        Fault(
            name="jump_chunk", title="one chunk that is 0.5 m off", strike=_chunk("jump"), any_stop=True, settle_s=1.0
        ),
        Fault(name="flood", title="chunks at 1 kHz for 2 s", strike=lambda tools: tools.flood(2.0), any_stop=True),
    )


def _bad_policies(random_s: float) -> tuple[Fault, ...]:
    def seeker(name: str, title: str, seconds: float, *stops: str) -> Fault:
        return Fault(name=name, title=title, strike=_steer(name, seconds), stops=stops, is_driven=False)

    return (
        seeker("seek_table", "a policy that dives into the table", 6.0, "table"),
        seeker("seek_edge", "a policy that leaves the workspace", 6.0, "workspace"),
        seeker("seek_body", "a policy that folds the hand into the arm", 8.0, "self_collision"),
        seeker("seek_keep_out", "a policy that enters a keep-out box", 6.0, "keep_out"),
        Fault(
            name="seek_limit",
            title="a policy that turns a joint to its limit",
            strike=_steer("seek_limit", 6.0),
            any_stop=True,
            is_driven=False,
        ),
        Fault(
            name="seek_singularity",
            title="a policy that stretches the arm",
            strike=_steer("seek_singularity", 6.0),
            any_stop=True,
            is_driven=False,
        ),
        Fault(
            name="random_policy",
            title=f"a random policy for {random_s:g} s",
            strike=_steer("random", random_s),
            any_stop=True,
            is_driven=False,
        ),
        Fault(
            name="nonsense",
            title="an instruction that means nothing",
            strike=lambda tools: tools.instruct("make me a sandwich"),
            stops=("chunk_timeout",),
            settle_s=3.0,
        ),
    )


def _robot_faults() -> tuple[Fault, ...]:
    age = ("state_age",)
    return (
        Fault(name="state_frozen", title="joint states freeze", strike=_twin("freeze_states"), stops=("state_frozen",)),
        Fault(name="state_lost", title="joint states stop", strike=_twin("drop_states"), stops=age),
        Fault(name="state_partial", title="one joint is missing", strike=_twin("drop_joint"), stops=age),
        Fault(name="state_renamed", title="one joint has a wrong name", strike=_twin("rename_joint"), stops=age),
        Fault(name="state_nan", title="one joint reads NaN", strike=_twin("nan_joint"), stops=age),
        Fault(
            name="state_future",
            title="joint stamps 1 s ahead",
            strike=_twin("shift_stamps:1.0"),
            stops=age,
            settle_s=3.0,
        ),
        Fault(name="deaf_controller", title="the controller hears nothing", strike=_twin("deaf"), stops=("tracking",)),
        Fault(name="gripper_refuses", title="the gripper aborts every goal", strike=_twin("refuse_gripper")),
        Fault(name="one_camera", title="one camera goes blind", strike=_twin("blind:wrist"), any_stop=True),
        Fault(
            name="all_cameras", title="all cameras go blind", strike=_twin("blind:*"), stops=("chunk_timeout",),
            settle_s=3.0,
        ),
    )  # fmt: skip


def _graph_faults() -> tuple[Fault, ...]:
    return (
        Fault(
            name="second_publisher",
            title="a second publisher on the command topic",
            strike=lambda tools: tools.claim_command_topic(),
            stops=("foreign_command",),
            settle_s=3.0,
        ),
        Fault(
            name="clock_ahead",
            title="the clock leaps 10 s ahead",
            strike=lambda t: t.leap_clock(10.0),
            stops=("clock",),
        ),
        Fault(
            name="clock_back", title="the clock goes back 10 s", strike=lambda t: t.leap_clock(-10.0), stops=("clock",)
        ),
        Fault(
            name="deadman",
            title="the operator lets go of the deadman",
            strike=lambda tools: tools.hold_heartbeat(),
            stops=("heartbeat",),
            settle_s=3.0,
        ),
        Fault(
            name="operator_stop", title="the operator calls stop", strike=lambda t: t.call("stop"), stops=("operator",)
        ),
        Fault(name="home_in_motion", title="home is called in motion", strike=lambda t: t.call("home")),
        Fault(
            name="pause_policy",
            title="the policy hangs for 2 s",
            strike=lambda tools: tools.pause("policy", 2.0),
            stops=("chunk_timeout",),
        ),
        Fault(
            name="pause_adapter",
            title="the adapter hangs for 2.5 s",
            strike=lambda tools: tools.pause("adapter", 2.5),
            stops=("clock",),
        ),
        Fault(name="pause_recorder", title="the recorder hangs for 2 s", strike=lambda t: t.pause("recorder", 2.0)),
        Fault(name="disk_full", title="the recorder's disk is full", strike=lambda tools: tools.fill_disk("recorder")),
    )


def _process_faults() -> tuple[Fault, ...]:
    return (
        Fault(
            name="kill_recorder", title="kill -9 the recorder", strike=lambda t: t.kill("recorder"), dies="recorder"
        ),
        Fault(
            name="kill_policy",
            title="kill -9 the policy",
            strike=lambda tools: tools.kill("policy"),
            stops=("chunk_timeout",),
            dies="policy",
        ),
        Fault(name="kill_adapter", title="kill -9 the adapter", strike=lambda t: t.kill("adapter"), dies="adapter"),
        Fault(
            name="kill_world", title="kill -9 robot and cameras", strike=lambda t: t.kill("world"), dies="world",
            any_stop=True,
        ),
    )  # fmt: skip
