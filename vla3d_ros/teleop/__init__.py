"""Teleoperation: a person as the source of action chunks. Devices, the clutch, and chunks that end at rest."""
