"""What pictures are compared in."""
