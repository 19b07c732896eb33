"""Which ROM answers a prompt, and who waits for it."""
