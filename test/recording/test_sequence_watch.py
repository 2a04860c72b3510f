from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vla3d_ros.recording.sequence_watch import SequenceWatch


def info(number: int, publisher: bytes = b"a") -> dict:
    return {"publication_sequence_number": number, "publisher_gid": {"data": publisher}}


@given(arrived=st.sets(st.integers(2, 200)), publishers=st.sampled_from([[b"a"], [b"a", b"b"]]))
def test_missed_messages_are_those_between_the_first_and_the_last_that_did_not_arrive(arrived, publishers):
    watch = SequenceWatch()
    numbers = sorted({1, *arrived})
    missed = sum(watch.missed(info(number, publisher)) for number in numbers for publisher in publishers)
    assert missed == len(publishers) * (numbers[-1] - len(numbers))


def test_first_message_of_a_publisher_says_nothing_about_those_before():
    assert SequenceWatch().missed(info(500)) == 0


def test_middleware_without_numbers_is_taken_as_it_is():
    watch = SequenceWatch()
    assert [watch.missed({}), watch.missed({"publication_sequence_number": None, "publisher_gid": None})] == [0, 0]
