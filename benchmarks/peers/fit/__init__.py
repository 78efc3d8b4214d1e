"""The minimiser of a logistic loss over labelled pairs."""
