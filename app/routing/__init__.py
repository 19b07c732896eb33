"""Which ROM a prompt is for: how likely each domain is, and what the choice costs."""
