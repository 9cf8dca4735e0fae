"""Changes out: what is stored reaches whoever listens."""
