"""How much memory a training step takes, found on tensors without storage: no GPU is needed, nothing is computed."""
