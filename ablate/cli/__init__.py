"""The command line: parse, call, print. One function for each command, in `COMMANDS`."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ablate import __version__
from ablate.cli import data, show, work
from ablate.cli.options import EXIT_INTERRUPTED, EXIT_USER
from ablate.errors import AblateError
from ablate.system.signals import ENDING, is_ignored
from ablate.system.text import printable

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""Of what typer is built on, which it does not name itself."""

COMMANDS: dict[str, Callable[..., None]] = {
    "plan": work.plan,
    "init": work.init,
    "run": work.run,
    "search": work.search,
    "dashboard": show.dashboard,
    "measure": work.measure,
    "report": show.report,
    "explain": show.explain,
    "tensorboard": show.tensorboard,
    "profile": show.profile,
    "status": show.status,
    "merge": data.merge,
    "export": data.export,
    "import": data.import_,
    "compare": show.compare,
    "doctor": data.doctor,
}

app = typer.Typer(
    help="Does attention help my network, where should it go, and what does it cost?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)


def main() -> None:
    """Run the command line; what the user must change is one line on stderr and exit code 2."""
    atexit.register(_leave_garbage)
    # Whatever the command: what is under way is given back.
    for number in ENDING:
        if number is not signal.SIGINT and not is_ignored(number):
            signal.signal(number, _interrupt)
    try:
        sys.exit(app(standalone_mode=False))
    except AblateError as error:
        print(f"ablate: {printable(str(error))}", file=sys.stderr)
        sys.exit(EXIT_USER)
    except UsageError as error:
        if said := _usage(error):
            print(said, file=sys.stderr)
        sys.exit(EXIT_USER)
    except (KeyboardInterrupt, typer.Abort):
        print("ablate: interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        sys.exit(EXIT_INTERRUPTED)
    except Exception:
        if (foreign := _foreign()) is None:
            raise  # a mistake of ours: whoever reports it needs the traceback
        print(f"ablate: {printable(foreign)}", file=sys.stderr)
        sys.exit(EXIT_USER)
    finally:
        atexit.register(_print_no_more)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(f"ablate {__version__}")
        raise typer.Exit


def _usage(error: Any) -> str:
    """What is wrong with a command line, in one line; nothing if there is none, and help was shown."""
    said: str = error.format_message()
    if not said or "\n" in said:
        return said
    command = error.ctx.command_path if error.ctx else "ablate"
    said = said.replace("Value error, ", "").rstrip(".")
    return f"ablate: {printable(said)}: look at `{command} --help`"


def _foreign() -> str | None:
    """Why nobody foresaw a failure, where a database holds what ablate does not store."""
    from ablate.store.contents import why_not_ours

    return why_not_ours()


def _interrupt(_signal: int, _frame: Any) -> None:
    """SIGTERM and SIGHUP are Ctrl-C."""
    raise KeyboardInterrupt


def _print_no_more() -> None:
    """What a user's module prints as the process ends is no output of ours: this runs before it."""
    sys.stdout = sys.stderr


def _leave_garbage() -> None:
    """Let Python not look for garbage once more as it ends: half a second with torch loaded."""
    if "triton" not in sys.modules:  # it counts what it finds alive then, and complains
        gc.freeze()
