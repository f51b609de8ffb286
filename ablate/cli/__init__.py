"""The command line: parse, call, print. One function for each command, in `COMMANDS`."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NoReturn

import typer
import typer.core

from ablate import __version__
from ablate.cli import cost, data, look, prepare, report, study, train, watch
from ablate.cli.exits import EXIT_INTERRUPTED, EXIT_UNFORESEEN, EXIT_USER
from ablate.errors import AblateError
from ablate.system.messages.language import ENGLISH, language_of, speak, spoken, written_in
from ablate.system.messages.output import Output, ReaderGoneError, guarded_output
from ablate.system.messages.pulse import PULSE
from ablate.system.messages.text import printable
from ablate.system.process.signals import before_the_end, ends_at_once, raise_interrupts

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""Of what typer is built on, which it does not name itself."""

COMMANDS: dict[str, Callable[..., None]] = {
    "plan": prepare.plan,
    "check-attention": prepare.check_attention,
    "init": prepare.init,
    "run": train.run,
    "search": train.search,
    "dashboard": watch.dashboard,
    "measure": cost.measure,
    "report": report.report,
    "explain": look.explain,
    "tensorboard": watch.tensorboard,
    "take": look.take,
    "fold": look.fold,
    "profile": cost.profile,
    "status": watch.status,
    "merge": data.merge,
    "export": data.export,
    "import": data.import_,
    "import-results": data.import_results,
    "compare": report.compare,
    "doctor": data.doctor,
}

GO_ON = ("run", "search", "measure", "dashboard", "tensorboard")
"""What is of use also where nobody reads what it prints."""


class _BrokenError(Exception):
    """What typer would take for a reader of stdout that has ended, or for an answer that was not given."""


class _InterruptedError(Exception):
    """What typer would take for an exit code, and say nothing of."""


@contextlib.contextmanager
def _kept_from_typer() -> Iterator[None]:
    try:
        yield
    except ReaderGoneError:
        raise
    except (OSError, EOFError) as error:
        raise _BrokenError from error
    except KeyboardInterrupt as error:
        raise _InterruptedError from error


class _Commands(typer.core.TyperGroup):
    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """`--language` may stand behind a command too, as every other option does."""
        return super().parse_args(ctx, _language_first(args))

    def make_context(self, *given: Any, **named: Any) -> Any:
        with _kept_from_typer():
            return super().make_context(*given, **named)

    def invoke(self, ctx: Any) -> Any:
        with _kept_from_typer():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Commands,
    help="Does attention help my network, where should it go, and what does it cost?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)
app.add_typer(study.app, name="study")
before_the_end.append(PULSE.clear)


def main() -> None:
    """Run the command line; what the user must change is one line on stderr and exit code 2."""
    with guarded_output() as output, spoken(ENGLISH):
        try:
            _run()
            output.flush()
        except SystemExit:
            with contextlib.suppress(AblateError, KeyboardInterrupt):
                output.flush()
            raise


def _run() -> None:
    atexit.register(_leave_garbage)
    if not ends_at_once():
        raise_interrupts()
    try:
        code = _invoke()
        sys.stdout.flush()
        sys.exit(code)
    except AblateError as error:
        _end(str(error), EXIT_USER)
    except UsageError as error:
        if said := _usage(error):
            print(said, file=sys.stderr)
        sys.exit(EXIT_USER)
    except ReaderGoneError:
        sys.exit(EXIT_INTERRUPTED)
    except (KeyboardInterrupt, _InterruptedError, typer.Abort):
        _end("interrupted", EXIT_INTERRUPTED)
    except Exception as error:
        if (foreign := _foreign()) is not None:
            _end(foreign, EXIT_USER)
        from ablate.system.messages.unforeseen import tell_unforeseen

        _end(tell_unforeseen(error), EXIT_UNFORESEEN)
    finally:
        atexit.register(_print_no_more)


def _invoke() -> Any:
    """The command; its line that moves is gone before anything is said of its end."""
    try:
        return app(standalone_mode=False)
    finally:
        PULSE.end()


def _end(said: str, code: int) -> NoReturn:
    print(f"ablate: {printable(said)}", file=sys.stderr)
    sys.exit(code)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    language: Annotated[
        str | None,
        typer.Option(
            "--language",
            metavar="en|zh",
            help="Of what is told and of reports, before or behind a command. Default: ABLATE_LANGUAGE, else "
            "the locale. What programs read is English.",
        ),
    ] = None,
) -> None:
    speak(written_in(language, language_of(os.environ), sys.stdout.encoding))
    if isinstance(sys.stdout, Output):
        sys.stdout.goes_on = context.invoked_subcommand in GO_ON
    if version:
        print(f"ablate {__version__}")
        raise typer.Exit


def _language_first(args: list[str]) -> list[str]:
    """The words of a command line with those of `--language` before all others."""
    end = args.index("--") if "--" in args else len(args)
    first: list[str] = []
    rest: list[str] = []
    words = iter(args[:end])
    for word in words:
        if word == "--language":
            first += [word, *([value] if (value := next(words, None)) is not None else [])]
        else:
            (first if word.startswith("--language=") else rest).append(word)
    return first + rest + args[end:]


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
    from ablate.store.connection.contents import why_not_ours

    return why_not_ours()


def _print_no_more() -> None:
    """What a user's module prints as the process ends is no output of ours: this runs before it."""
    sys.stdout = sys.stderr


def _leave_garbage() -> None:
    """Let Python not look for garbage once more as it ends: half a second with torch loaded."""
    if "triton" not in sys.modules:  # it counts what it finds alive then, and complains
        gc.freeze()
