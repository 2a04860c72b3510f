"""Trials: run, judge, report."""
