"""Documents as text: parsed from JSON, written as CSV and as XML. Pure functions, for requests and for files alike."""
