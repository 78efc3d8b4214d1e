"""One value and gradient of a pair loss, and one reading of the same memory."""
