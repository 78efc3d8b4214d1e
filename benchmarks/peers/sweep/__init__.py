"""Many small settings, each a row of a table."""
