"""Measure how soon many subscribers of the live channels receive changes, and what they cost: scripts/bench live."""
