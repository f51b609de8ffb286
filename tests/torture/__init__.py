"""The torture room: `make torture` breaks things on purpose and counts what was lost.

A row is a fault, a bar and a function that does the fault so and so often and returns figures. The
short form of each row is a test (`tests/test_torture.py`).
"""
