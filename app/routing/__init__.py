"""Which domain a prompt belongs to, as probabilities with reasons: rules, a classifier and similarity, pooled."""
