"""Experiments: what the paper and we claim, computed again."""
