"""Episodes as rosbag2 MCAP: raw messages, nothing dropped in silence."""
