"""Generate the OpenAPI description of the server from its table of routes."""
