"""How a plan is made: fingerprint, rules for spacing, patch, depth and batch, and the command that runs them."""
