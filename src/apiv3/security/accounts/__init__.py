"""People: their accounts, passwords, and the tokens that they sign in for."""
