"""Recorded motion and bags back through the same cores."""
