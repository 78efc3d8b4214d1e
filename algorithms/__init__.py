"""Methods: self-play as tableaus, offline learning as losses of one margin, and the kernels that run them."""
