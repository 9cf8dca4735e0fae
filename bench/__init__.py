"""How fast the server is, against what the same machine, uvicorn and database drivers can do without it: scripts/bench."""
