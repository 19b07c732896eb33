"""The `cartridge` command."""
