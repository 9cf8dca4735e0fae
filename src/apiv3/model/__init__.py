"""The domain's values and rules. Standard library only; imports nothing else of the project."""
