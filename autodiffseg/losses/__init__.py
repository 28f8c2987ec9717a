"""Segmentation losses, one idea a file; all take logits, one-hot targets and where the target is known."""
