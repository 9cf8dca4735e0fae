"""What the API does, free of HTTP. Operations take values, return values, and raise ApiError."""
