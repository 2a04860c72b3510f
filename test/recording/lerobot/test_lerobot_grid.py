"""The grid of frames."""

from __future__ import annotations

import numpy as np

from vla3d_ros.recording.lerobot.frame_grid import frame_stamps, newest_not_after, quietest_start

S = 1_000_000_000


def repeats(captures, start_ns, end_ns):
    frames = frame_stamps(start_ns, end_ns, 30)
    return np.count_nonzero(np.diff(newest_not_after(captures, frames)) == 0)


def test_frames_do_not_drift_from_multiples_of_the_period():
    stamps = frame_stamps(7, 7 + 1000 * S, 30)
    assert len(stamps) == 30_001
    assert stamps[30 * 1000] == 7 + 1000 * S
    assert set(np.diff(stamps)) == {33_333_333, 33_333_334}


def test_span_without_room_for_a_frame_is_empty():
    assert len(frame_stamps(10, 9, 30)) == 0
    assert frame_stamps(10, 10, 30).tolist() == [10]


def test_capture_at_the_frame_itself_is_shown_and_a_later_one_is_not():
    captures = np.array([10, 20, 20, 30])
    assert newest_not_after(captures, np.array([9, 10, 20, 29, 30])).tolist() == [-1, 0, 2, 2, 3]


def test_grid_steps_aside_from_jittering_captures():
    jitter_ns = np.random.default_rng(4).integers(0, S // 250, 300)
    captures = np.arange(300) * S // 30 + jitter_ns
    start_ns, end_ns = int(captures[np.argsort(jitter_ns[:51])[25]]), int(captures[-1])
    assert repeats(captures, start_ns, end_ns) > 20
    chosen_ns = quietest_start([captures], start_ns, end_ns, 30)
    assert repeats(captures, chosen_ns, end_ns) == 0
    assert chosen_ns - start_ns < S // 30 / 4, "of the quiet phases, the freshest"
