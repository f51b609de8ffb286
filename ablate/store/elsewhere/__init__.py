"""Results from elsewhere into the database: a study of their own."""
