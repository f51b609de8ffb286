"""What a variant costs: on paper (architecture), by the clock (throughput), by operator (profile)."""
