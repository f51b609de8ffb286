"""From a study to results in the database: what is missing is claimed, trained, measured and stored."""
