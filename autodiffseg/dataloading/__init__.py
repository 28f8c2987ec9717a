"""From preprocessed cases to augmented batches: where patches lie, how they are changed, in which order they come."""
