"""Measure the speed of the server, and compare it with minimal servers on the same machine: scripts/bench."""
