"""The seam bench: streams are what they say, measures measure, and ours is the smoothest at equal lag."""

from pathlib import Path

import numpy as np
import pytest

from vla3d_ros.adapter.arm_motion import MotionConfig
from vla3d_ros.replay.chunk_stream import deliveries, demonstration_stream, disturbed
from vla3d_ros.replay.demonstration import load_demonstration
from vla3d_ros.replay.seam_executors import execute_stream_switch, with_low_pass, with_ruckig
from vla3d_ros.replay.seams import EXECUTORS, OURS, SeamBench, SeamSetup
from vla3d_ros.replay.seams_plot import plot_seams

RECORDED = sorted((Path(__file__).parents[3] / "shared" / "data" / "fr3_teleop_1khz").glob("*.npy"))
MM, DEG = 1e-3, np.pi / 180


@pytest.fixture
def stream(made_up_log, saved, arm, kinematics):
    return demonstration_stream(load_demonstration(saved(made_up_log(duration_s=2.0)), arm), arm, kinematics, 1.0)


def setup(embodiment, arm, noise_mm=1.0, noise_deg=0.5):
    return SeamSetup(
        urdf_path=embodiment.urdf_path,
        arm=arm,
        motion=MotionConfig(),
        ee_speed=(1.0, 3.0),
        noise_m=noise_mm * MM,
        noise_rad=noise_deg * DEG,
        jitter_ms=10.0,
        seed=0,
    )


def test_consecutive_chunks_of_a_stream_ask_for_the_same_poses_at_the_same_time(stream):
    one, next_one = stream.chunks[20:22]
    assert next_one.stamp_ns - one.stamp_ns == stream.dt_ns
    assert next_one.due_ns[:-1].tolist() == one.due_ns[1:].tolist()
    assert next_one.Ts_base_ee[:-1] == pytest.approx(one.Ts_base_ee[1:])


def test_noise_has_the_size_that_was_asked_for_and_is_another_for_each_chunk(stream):
    noisy = disturbed(stream, 1 * MM, 0.5 * DEG, np.random.default_rng(1))
    offsets = [
        np.linalg.solve(a.Ts_base_ee[0], b.Ts_base_ee[0]) for a, b in zip(stream.chunks, noisy.chunks, strict=True)
    ]
    metres = np.linalg.norm([offset[:3, 3] for offset in offsets], axis=1)
    radians = [np.arccos(np.clip((np.trace(offset[:3, :3]) - 1) / 2, -1, 1)) for offset in offsets]
    assert np.sqrt(np.mean(metres**2)) == pytest.approx(1 * MM, rel=0.25)
    assert np.sqrt(np.mean(np.square(radians))) == pytest.approx(0.5 * DEG, rel=0.25)
    assert len(np.unique(metres)) == len(metres)
    assert noisy.asked()[1] == pytest.approx(stream.asked()[1]), "what was really wanted stays"


@pytest.mark.parametrize("delay", [0, 3])
def test_a_slow_policy_makes_fewer_chunks_and_they_arrive_late(stream, delay):
    made = deliveries(stream.chunks, delay * stream.dt_ns, 5_000_000, np.random.default_rng(0))
    ages_ns = np.array([delivery.arrival_ns - delivery.chunk.stamp_ns for delivery in made])
    assert (ages_ns >= delay * stream.dt_ns).all() and (ages_ns < delay * stream.dt_ns + 5_000_000).all()
    assert (np.diff([delivery.arrival_ns for delivery in made]) > 0).all()
    begun = [delivery.chunk.stamp_ns for delivery in made]
    assert delay == 0 or all(stamp >= before.arrival_ns for before, stamp in zip(made, begun[1:], strict=False))
    assert len(made) >= len(stream.chunks) // (delay + 1) - 1


def test_a_low_pass_lags_by_what_it_says(embodiment, arm, stream):
    run = SeamBench(setup(embodiment, arm)).prepare(stream, 0)
    seconds = np.arange(len(run.grid_ns())) * 1e-3
    filtered = with_low_pass(lambda run: np.outer(seconds, np.ones(7)), 0.03)(run)
    assert filtered[-1, 0] - seconds[-1] == pytest.approx(-0.03, abs=1.5e-3)


def test_following_with_ruckig_never_exceeds_acceleration_or_jerk(embodiment, arm, stream):
    bench = SeamBench(setup(embodiment, arm))
    q = with_ruckig(execute_stream_switch)(bench.prepare(stream, 2))
    assert np.abs(np.diff(q, 2, axis=0)).max() / 1e-6 <= arm.limits.acceleration.max() * 1.01
    assert np.abs(np.diff(q, 3, axis=0)).max() / 1e-9 <= arm.limits.jerk.max() * 1.25


def test_without_noise_and_delay_every_executor_follows_the_demonstration(embodiment, arm, stream):
    bench = SeamBench(setup(embodiment, arm, 0.0, 0.0))
    for name in ("adapter", "adapter + ensembling", "naive switch, streamed", "naive switch, splined", "ensembling"):
        figures = bench.measure(stream, 0, name, 0.0)
        assert abs(figures.lag_ms) < 3.0, name
        assert figures.tracking_mm < 1.0, name


def test_a_naive_switch_jumps_by_what_the_policy_changed_its_mind_and_ours_does_not(embodiment, arm, stream):
    bench = SeamBench(setup(embodiment, arm))
    assert bench.measure(stream, 2, "naive switch, streamed", 0.0).jump_mm > 1.0
    assert bench.measure(stream, 2, OURS, 0.0).jump_mm < 0.02


def test_ours_has_the_least_jerk_of_all_that_lag_no_more(embodiment, arm, stream, tmp_path):
    report = SeamBench(setup(embodiment, arm)).run([stream], [0, 4])
    assert not report.beaten_by
    assert len(report.figures) == 2 * len(EXECUTORS)
    ours = [figures for figures in report.figures if figures.executor == OURS]
    assert all(figures.joint_jerk_rad_s3 <= arm.limits.jerk.min() for figures in ours)
    assert all(figures.joint_acceleration_rad_s2 <= arm.limits.acceleration.min() for figures in ours)
    assert all(0.0 < figures.reaction_ms < 400.0 for figures in ours)
    assert plot_seams(tmp_path / "seams.png", report.figures, OURS).stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.skipif(not RECORDED, reason="the recorded demonstrations are not on this machine")
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_the_same_holds_for_a_demonstration_of_a_real_arm(embodiment, arm, kinematics, path):
    stream = demonstration_stream(load_demonstration(path, arm), arm, kinematics, 1.5)
    report = SeamBench(setup(embodiment, arm)).run([stream], [1, 6])
    assert not report.beaten_by
