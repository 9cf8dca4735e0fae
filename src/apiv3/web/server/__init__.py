"""The HTTP server: connections, what is read from and written to them, and the way they end. uvicorn runs it."""
