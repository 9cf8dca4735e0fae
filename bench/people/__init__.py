"""Measure what signing in costs, and the pages that people see: scripts/bench people."""
