"""The command `ablate`, which is also `python -m ablate`."""

import os
import sys


def main() -> None:
    """Run the command line; a Ctrl-C is one line from the first moment, also while it is being loaded."""
    try:
        from ablate.cli import main as command_line  # noqa: PLC0415 - to load it takes a moment

        command_line()
    except KeyboardInterrupt:
        print("ablate: interrupted", file=sys.stderr)
        sys.exit(130)  # EXIT_INTERRUPTED of the command line, which is perhaps not there


if __name__ == "__main__":
    # `-m` puts the current folder first: what lies there must not stand in for the standard library, here or
    # in the workers, which get this path. Last, as ablate itself may have been found there.
    if sys.path and sys.path[0] == os.getcwd():
        sys.path.append(sys.path.pop(0))
    main()
