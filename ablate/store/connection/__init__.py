"""How a database is opened: its address, whose it is, its schema brought up to date, and a transaction."""
