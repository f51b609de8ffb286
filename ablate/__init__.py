"""ablate: does attention help my network, where should it go, and what does it cost?

Importing this package loads neither torch nor SQLAlchemy; the rooms do when they are entered.
"""

__version__ = "0.1.0"
