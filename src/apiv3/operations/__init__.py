"""The operations of the API, independent of HTTP. They take values, return values, and raise ApiError."""
