"""Trainers of one's own: what ablate calls in place of its own loop."""
