"""What variants cost: speeds, where the time goes, and who is dominated."""
