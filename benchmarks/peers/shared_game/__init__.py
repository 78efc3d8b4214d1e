"""Many policies on one large game."""
