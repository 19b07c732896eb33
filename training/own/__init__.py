"""Fine-tuning on a user's own images: read them, encode them once, teach them to a ROM."""
