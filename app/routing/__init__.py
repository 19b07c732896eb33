"""Which ROM a prompt is for."""
