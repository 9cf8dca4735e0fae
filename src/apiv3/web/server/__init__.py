"""The HTTP server: accept connections, read requests, write answers, shut down. uvicorn runs it (docs/decisions/0020)."""
