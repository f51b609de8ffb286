"""Files and folders: written whole, locked, named from stored text, read with care. Knows no other room."""
