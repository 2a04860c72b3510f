import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla3d_ros.camera.device_clock import DeviceClock

MS, S = 1_000_000, 1_000_000_000
EPOCH = 1_700_000_000 * S
PERIOD = S // 30


def run(clock: DeviceClock, device_ns, receive_ns) -> list[int | None]:
    return [clock.convert(int(device), int(receive)) for device, receive in zip(device_ns, receive_ns, strict=True)]


def test_ticks_become_ros_time_within_the_jitter_of_the_transfer():
    rng = np.random.default_rng(0)
    captured = np.arange(600) * PERIOD
    delay = 8 * MS + rng.exponential(2 * MS, 600).astype(np.int64)
    stamps = run(DeviceClock("c", is_ros_time=False, latency_ns=8 * MS), captured + 77 * S, EPOCH + captured + delay)
    error = np.array(stamps[50:]) - (EPOCH + captured[50:])
    assert np.abs(error).max() < 0.5 * MS


def test_drift_of_the_crystal_is_followed():
    captured = np.arange(30 * 600) * PERIOD
    device = (captured * (1 + 50e-6)).astype(np.int64)
    stamps = run(DeviceClock("c", is_ros_time=False), device, EPOCH + captured + 5 * MS)
    error = np.array(stamps) - (EPOCH + captured + 5 * MS)
    assert np.abs(error).max() < 0.3 * MS, "it drifts by 30 ms over these ten minutes"


def test_a_counter_of_32_bits_that_wraps_is_carried_on():
    captured = np.arange(60) * PERIOD
    device = (captured + 2**32 * 1000 - 20 * PERIOD) % (2**32 * 1000)
    clock = DeviceClock("c", is_ros_time=False)
    stamps = run(clock, device, EPOCH + captured + 5 * MS)
    assert None not in stamps and clock.jumps == 0
    assert np.abs(np.diff(stamps) - PERIOD).max() < 1000


@pytest.mark.parametrize("jump_ns", [-3600 * S, -200 * MS, 200 * MS, 3600 * S])
def test_a_jump_of_the_ticks_is_reported_once_and_never_passed_on(jump_ns):
    captured = np.arange(90) * PERIOD
    device = captured + 7200 * S
    device[45:] += jump_ns
    clock = DeviceClock("c", is_ros_time=False)
    stamps = run(clock, device, EPOCH + captured + 5 * MS)
    assert clock.jumps == 1 and 1 <= stamps.count(None) <= 10
    for stamp, truth in zip(stamps, EPOCH + captured, strict=True):
        assert stamp is None or abs(stamp - truth) < 6 * MS


def test_a_late_frame_is_no_jump():
    captured = np.arange(90) * PERIOD
    receive = EPOCH + captured + 5 * MS
    receive[40:43] = receive[43]
    clock = DeviceClock("c", is_ros_time=False)
    run(clock, captured, receive)
    assert clock.jumps == 0


@pytest.mark.parametrize("jump_ns", [-3600 * S, -2 * S, 50 * MS, 3600 * S])
def test_host_time_that_jumps_is_withheld_until_it_is_right_again(jump_ns):
    captured = EPOCH + np.arange(90) * PERIOD
    told = captured.copy()
    told[30:60] += jump_ns
    clock = DeviceClock("c", is_ros_time=True)
    stamps = run(clock, told, captured + 20 * MS)
    assert stamps[:30] == captured[:30].tolist()
    assert stamps[30:60] == [None] * 30
    assert stamps[60:] == captured[60:].tolist()
    assert clock.jumps == 1 and clock.trouble == ""


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-50, 3000), st.integers(0, 400)), min_size=1, max_size=200),
    st.booleans(),
)
def test_whatever_the_device_says_stamps_increase_and_are_near_reception(events, is_ros_time):
    clock = DeviceClock("c", is_ros_time=is_ros_time)
    receive_ns, device_ns, last = EPOCH, EPOCH if is_ros_time else 0, 0
    for device_step_ms, step_ms in events:
        receive_ns += step_ms * MS
        device_ns += device_step_ms * MS
        stamp = clock.convert(device_ns, receive_ns)
        if stamp is not None:
            assert stamp > last
            assert -5 * MS <= receive_ns - stamp <= (500 if is_ros_time else 50) * MS
            last = stamp
