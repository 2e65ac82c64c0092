"""Figures: one look, deterministic bytes, n and the region where data lie on every panel."""
