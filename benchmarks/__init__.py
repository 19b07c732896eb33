"""Ratios against plain diffusers and peers, measured in one run."""
