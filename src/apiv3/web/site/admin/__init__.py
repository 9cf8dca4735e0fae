"""The pages of administration. Each calls the same services as the API and the command line."""
