"""The results database: tables and views, and rooms for opening, writing, reading and looking after it."""
