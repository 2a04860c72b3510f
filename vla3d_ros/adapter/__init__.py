"""Embodiment adapter: chunks of relative poses in, joint trajectories out. Knows no model."""
