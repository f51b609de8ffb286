"""`python -m ablate` is the command `ablate`."""

import os
import sys

# `-m` puts the current folder first: what lies there must not stand in for the standard library, here or
# in the workers, which get this path. Last, as ablate itself may have been found there.
if sys.path and sys.path[0] == os.getcwd():
    sys.path.append(sys.path.pop(0))

from ablate.cli import main

main()
