"""Devices: their keys, how they are enrolled, and how they are managed."""
