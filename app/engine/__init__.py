"""Which rows run next and what they become."""
