"""Every recording by others is replayed, or refused with a reason a person understands; never a traceback."""

from pathlib import Path

import pytest
from made_up_run import options

from vla3d_ros.commands.replay_setup import recorded_run, setup_for
from vla3d_ros.errors import RecordingError
from vla3d_ros.replay.playback import Playback, PlaybackSettings

DATA = Path(__file__).parents[3] / "shared" / "data"
FOLDERS = {file.parent for file in DATA.rglob("metadata.yaml")} | {
    file.parent for file in DATA.rglob("multiple_files_0.*")
}
BAGS = sorted(FOLDERS | set(DATA.rglob("rosbag2_cpp/bags/*.*")))
REASONS = (
    "it does not say which robot it is of",
    "the policy looks through",
    "it has no joint states",
    "can not be read: it has no metadata.yaml",
    "only CDR",
)

pytestmark = pytest.mark.skipif(not BAGS, reason="the folder shared/data with real recordings is absent")


def name(bag: Path) -> str:
    return str(bag.relative_to(DATA))


@pytest.mark.parametrize("bag", BAGS, ids=name)
def test_a_bag_without_a_robot_of_ours_is_refused_for_all_that_it_lacks(bag):
    with pytest.raises(RecordingError) as refused:
        setup_for(recorded_run(options(bag=bag)), options(bag=bag), ("head", "side", "wrist"))
    assert any(reason in str(refused.value) for reason in REASONS), str(refused.value)


@pytest.mark.parametrize("bag", BAGS, ids=name)
def test_its_topics_are_played_to_the_end_or_it_is_said_why_not(bag):
    try:
        playback = Playback(bag, PlaybackSettings())
        playback.check({})
    except RecordingError as error:
        expected = ("an arm would jump", "can not be read", "nothing is left to play")
        assert any(text in str(error) for text in expected), str(error)
        return
    offsets = [message.offset_ns for message in playback.messages()]
    assert offsets and offsets == sorted(offsets)
