"""Measure what connected devices cost, and how fast they send and are cut off: scripts/bench devices."""
