"""Looking after a database: its health, and its studies named otherwise or taken away."""
