"""The report of a study: what is real, what is noise and what it costs. No torch, no SQLAlchemy."""
