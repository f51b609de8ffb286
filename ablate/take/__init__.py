"""Trained networks taken out: weights, and a Python file that builds them with PyTorch alone."""
