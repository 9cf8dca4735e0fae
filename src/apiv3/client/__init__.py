"""Clients for programs that talk to a server. Of the server's own code they use only what both sides must agree on."""
