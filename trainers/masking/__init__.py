"""Whole-word masking and its relatives: units, weights, rates, corruption and one sampler (numpy only)."""
