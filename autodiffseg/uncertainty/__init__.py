"""How sure a prediction is: entropies and where they come from, how far samples agree, intervals of volumes."""
