"""The only place that knows SQL. Everyone else sees `contracts`."""
