from vla3d_ros.twin.pacing import Pacing

MS = 1_000_000


def pacing() -> Pacing:
    return Pacing({"chunk": 0.1, "ee_state": 0.03}, patience_s=1.0)


def test_nobody_is_waited_for_before_they_speak():
    assert pacing().lagging(10_000 * MS, wall_s=5.0) == ()


def test_the_world_waits_for_a_stream_that_is_behind_and_goes_on_when_it_caught_up():
    watched = pacing()
    watched.hear("chunk", 1000 * MS, wall_s=5.0)
    assert watched.lagging(1090 * MS, wall_s=5.1) == ()
    assert watched.lagging(1110 * MS, wall_s=5.1) == ("chunk",)
    watched.hear("chunk", 1100 * MS, wall_s=5.2)
    assert watched.lagging(1110 * MS, wall_s=5.2) == ()


def test_a_stream_that_fell_silent_is_not_waited_for():
    watched = pacing()
    watched.hear("ee_state", 1000 * MS, wall_s=5.0)
    assert watched.lagging(1100 * MS, wall_s=5.9) == ("ee_state",)
    assert watched.lagging(1100 * MS, wall_s=6.1) == ()


def test_the_world_waits_for_the_first_word_of_a_stream_that_was_asked_to_speak():
    watched = pacing()
    watched.expect("chunk", 1000 * MS, wall_s=5.0)
    assert watched.lagging(1110 * MS, wall_s=5.3) == ("chunk",)
    watched.hear("chunk", 1100 * MS, wall_s=5.4)
    assert watched.lagging(1110 * MS, wall_s=5.4) == ()


def test_a_stream_that_was_asked_and_never_speaks_is_not_waited_for_long():
    watched = pacing()
    watched.expect("chunk", 1000 * MS, wall_s=5.0)
    assert watched.lagging(1110 * MS, wall_s=6.1) == ()
