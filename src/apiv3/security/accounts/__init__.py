"""People: their accounts, their passwords, and the user tokens that they get by signing in."""
