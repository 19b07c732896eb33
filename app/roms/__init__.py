"""What a ROM is and where it comes from."""
