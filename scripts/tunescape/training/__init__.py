"""Fine-tuning: run specifications, data, models, the training engine and packs of runs.

Importing this package loads nothing heavy; torch, transformers and datasets are imported by the
functions that need them.
"""
