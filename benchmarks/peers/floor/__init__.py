"""The same iterations, and the least arithmetic that they need."""
