"""What many subscribers of the live channels get, how soon, and what they cost: scripts/bench live."""
