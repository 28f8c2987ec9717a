"""How a network learns: one loop, and trainers that override only what makes them different."""
