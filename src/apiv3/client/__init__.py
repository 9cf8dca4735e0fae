"""For other programs that talk to a server. It needs nothing of the server's own code but the model."""
