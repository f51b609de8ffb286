"""The command `ablate`, which is also `python -m ablate`."""

import os
import sys


def main() -> None:
    """Run the command line; a Ctrl-C is one line and exit code 130 from the first moment to the last."""
    try:
        from ablate.system.process.signals import end_at_once  # noqa: PLC0415 - within the try

        end_at_once()
        from ablate.cli import main as command_line  # noqa: PLC0415 - to load it takes a moment

        try:
            command_line()
        finally:
            end_at_once()
            # Where Ctrl-C came to code that is made from text, as dataclasses are, Python ends by the signal
            # and not with our code, unless some other was run since.
            exec("")  # noqa: S102
    except KeyboardInterrupt:
        print("ablate: interrupted", file=sys.stderr)
        sys.exit(130)  # EXIT_INTERRUPTED of the command line, which is perhaps not there


if __name__ == "__main__":
    # `-m` puts the current folder first: what lies there must not stand in for the standard library, here or
    # in the workers, which get this path. Last, as ablate itself may have been found there.
    if sys.path and sys.path[0] == os.getcwd():
        sys.path.append(sys.path.pop(0))
    main()
