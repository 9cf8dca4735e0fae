"""The values and rules of the domain. Imports only the standard library and itself."""
