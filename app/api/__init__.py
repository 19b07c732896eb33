"""How HTTP sees us."""
