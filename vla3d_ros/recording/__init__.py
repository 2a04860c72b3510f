"""Episodes as rosbag2 MCAP: raw messages, nothing dropped in silence."""

from vla3d_ros.recording.bag_reader import BagMessage, BagReader
from vla3d_ros.recording.bag_summary import BagSummary, WriterState
from vla3d_ros.recording.bag_writer import BagWriter
from vla3d_ros.recording.episode_reader import find_topics, read_episode
from vla3d_ros.recording.episode_recorder import EpisodeRecorder
from vla3d_ros.recording.episode_trace import EpisodeTopics, EpisodeTrace
from vla3d_ros.recording.message_definitions import MessageDefinitions
from vla3d_ros.recording.qos import is_latched, offered_qos

__all__ = [
    "BagMessage",
    "BagReader",
    "BagSummary",
    "BagWriter",
    "EpisodeRecorder",
    "EpisodeTopics",
    "EpisodeTrace",
    "MessageDefinitions",
    "WriterState",
    "find_topics",
    "is_latched",
    "offered_qos",
    "read_episode",
]
