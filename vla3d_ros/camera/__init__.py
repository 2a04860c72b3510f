"""Cameras: sources, synchronisation, and the node that publishes checked views."""
