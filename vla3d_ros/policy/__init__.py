"""Policies: observations in, action chunks out. Knows no robot."""
