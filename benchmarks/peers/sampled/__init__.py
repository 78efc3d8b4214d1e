"""A method that learns from duels."""
