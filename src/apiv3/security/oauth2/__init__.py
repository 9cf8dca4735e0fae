"""The OAuth2 provider: clients, scopes, authorizations and tokens (RFC 6749)."""
