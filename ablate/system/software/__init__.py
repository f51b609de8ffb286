"""Which code runs: this program and its versions, and what of a user's may be imported."""
