"""Recorded episodes as LeRobot datasets, v3.0 or v2.1, without the lerobot package."""

from vla3d_ros.recording.lerobot.export import ExportSummary, export_dataset
from vla3d_ros.recording.lerobot.planning import EpisodePlan, plan_episode
from vla3d_ros.recording.lerobot.settings import ExportSettings

__all__ = ["EpisodePlan", "ExportSettings", "ExportSummary", "export_dataset", "plan_episode"]
