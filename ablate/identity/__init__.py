"""Where a network that is not ours comes from, and what in it can tell two networks apart."""
