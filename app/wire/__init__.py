"""JSON outside, core inside: one file a dialect."""
