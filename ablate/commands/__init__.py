"""What each command does, one file a command; `ablate.cli` only parses."""
