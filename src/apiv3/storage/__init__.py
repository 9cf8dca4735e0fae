"""Storage: the only package that uses SQL. Other packages use the interfaces in `contracts`."""
