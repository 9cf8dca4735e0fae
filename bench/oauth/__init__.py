"""Measure what tokens of applications cost, also beside a million expired ones: scripts/bench oauth."""
