"""The results database: its schema, who may train what, and reading it back."""
