"""Documents in files: what other programs exported, and what this one exports."""
