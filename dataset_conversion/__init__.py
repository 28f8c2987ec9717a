"""How datasets come about: one converter a file, and the phantom."""
