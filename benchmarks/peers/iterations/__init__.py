"""A method with exact feedback: the duality gap after every iteration."""
