"""Devices that are connected: the encrypted session, what they send, and what they are told."""
