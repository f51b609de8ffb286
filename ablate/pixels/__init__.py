"""From the bytes of an image file to a square of pixels: what processes that decode import, and no more.

Neither NumPy nor pydantic is loaded here, so that such a process starts in 0.1 s.
"""
