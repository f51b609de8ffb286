"""How far studies have come: what `ablate status`, `plan` and a driver ask. Nothing is written."""
