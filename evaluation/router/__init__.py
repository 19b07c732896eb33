"""How prompts find their domains."""
