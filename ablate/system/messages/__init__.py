"""Words to whoever typed a command: on a terminal or in a file, in their language, and how far it is."""
