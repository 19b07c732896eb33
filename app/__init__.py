"""Cartridge: many image-generation models (ROMs) behind one SageMaker-style endpoint."""

__version__ = "0.1.0"
