"""What the embedded ROMs are asked for: how it is said, drawn and judged."""
