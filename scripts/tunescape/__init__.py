"""Tunescape: what fine-tuning hyperparameters do to a text classifier."""

__version__ = "0.1.0"
