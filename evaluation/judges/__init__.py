"""What is seen in a picture, by its pixels, and whether that is what was asked for."""
