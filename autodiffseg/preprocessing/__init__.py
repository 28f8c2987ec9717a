"""From raw cases to arrays that a network can read: crop, normalise, resample, store."""
