"""The ways to get tokens: one module for each `grant_type`."""
