"""The OpenAPI description of the server, made from its table of routes."""
