"""Verifiers: one module for each kind of credential."""
