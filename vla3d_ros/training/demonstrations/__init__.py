"""Demonstrations: the scripted teacher at work in the twin, with the truth about everything it sees."""
