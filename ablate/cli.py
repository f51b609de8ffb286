"""The command line: parse, call, print. Each command loads the rooms that it needs, and no others."""

from __future__ import annotations

import atexit
import gc
import math
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ablate import __version__
from ablate.errors import AblateError, OptionError
from ablate.system.text import printable

if TYPE_CHECKING:
    from ablate.study import Study

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""Of what typer is built on, which it does not name itself."""

EXIT_FAILED_RUNS = 1
EXIT_CHANGED = 1
EXIT_USER = 2
EXIT_INTERRUPTED = 130
DEFAULT_DB = "sqlite:///results/ablation.db"

app = typer.Typer(
    help="Does attention help my network, where should it go, and what does it cost?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="A study file (studies/*.toml).")]
Db = Annotated[str, typer.Option("--db", metavar="URL", help="The results database.")]
DataPath = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="A folder or archive of images, instead of the study's dataset.",
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a key of the study: recipe.epochs=1. Repeatable."
    ),
]
Seeds = Annotated[int | None, typer.Option("--seeds", metavar="N", help="Seeds for each variant.")]
BaselineSeeds = Annotated[
    int | None, typer.Option("--baseline-seeds", metavar="N", help="Seeds for the baseline.")
]
AllowImport = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-import",
        metavar="PACKAGE",
        help="A package whose networks the study may use: its code will run. Repeatable.",
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        "--storage", metavar="URL", help="Optuna's storage: optuna.db beside the database."
    ),
]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where to train.")]


def main() -> None:
    """Run the command line; what the user must change is one line on stderr and exit code 2."""
    atexit.register(_leave_garbage)
    signal.signal(
        signal.SIGTERM, _interrupt
    )  # whatever the command: what is under way is given back
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


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(f"ablate {__version__}")
        raise typer.Exit


@app.command()
def plan(
    study: StudyFile,
    format: Annotated[
        Literal["table", "json"], typer.Option("--format", help="For people or for programs.")
    ] = "table",
    db: Db = DEFAULT_DB,
    data: DataPath = None,
    set: Assignments = None,
    seeds: Seeds = None,
    baseline_seeds: BaselineSeeds = None,
    allow_import: AllowImport = None,
) -> None:
    """List the cells of a study: parameters, MACs, status and what is missing. Trains nothing."""
    question = _load(study, set, seeds, baseline_seeds)
    _allow(allow_import)
    with _loading():
        from ablate.commands.plan import show_plan

    show_plan(question, data, db, format)


@app.command()
def init(
    backbone: Annotated[
        str | None, typer.Argument(metavar="BACKBONE", help="A network, by its name.")
    ] = None,
    ready: Annotated[
        str | None,
        typer.Option("--study", metavar="NAME", help="A study that comes with ablate, instead."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="PATH", help="A folder or archive of images."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Default: <its name>.toml.")
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            "--image-size",
            min=8,
            max=1024,
            metavar="N",
            help="The images' side in pixels; 32 unless set.",
        ),
    ] = None,
    allow_import: AllowImport = None,
) -> None:
    """Write a study file: for a network and a folder of images, or one that comes with ablate."""
    if (backbone is None) == (ready is None):
        raise OptionError("init: give either a network with --data PATH, or --study NAME")
    if ready is not None:
        if data or image_size or allow_import:
            raise OptionError(
                "--data, --image-size and --allow-import belong to a network: not with --study"
            )
        _init_ready(ready, out)
    elif data is None:
        raise OptionError(f"init {backbone}: name the images with --data PATH")
    else:
        _init_own(str(backbone), data, out, image_size or 32, allow_import or [])


@app.command()
def run(
    study: StudyFile,
    db: Db = DEFAULT_DB,
    data: DataPath = None,
    set: Assignments = None,
    seeds: Seeds = None,
    baseline_seeds: BaselineSeeds = None,
    allow_import: AllowImport = None,
    max_runs: Annotated[
        int | None, typer.Option("--max-runs", min=0, metavar="N", help="Train at most N runs.")
    ] = None,
    device: Device = "auto",
    executor: Annotated[str, typer.Option("--executor", help="local or inprocess.")] = "local",
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=1, metavar="N", help="Processes side by side; one per core on a CPU."
        ),
    ] = None,
    cohort: Annotated[
        int | None,
        typer.Option(
            "--cohort", min=1, metavar="N", help="Runs side by side in each process, at most."
        ),
    ] = None,
    checkpoint_seconds: Annotated[
        float | None,
        typer.Option(
            "--checkpoint-seconds", min=0, metavar="S", help="The least time between checkpoints."
        ),
    ] = None,
    run_timeout: Annotated[
        float | None,
        typer.Option(
            "--run-timeout", min=1, metavar="S", help="A run that takes longer has failed."
        ),
    ] = None,
    no_measure: Annotated[
        bool,
        typer.Option("--no-measure", help="Only train; the next run without it measures."),
    ] = False,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Repeat to the byte on a GPU too; slower there.")
    ] = False,
    step_path: Annotated[
        Literal["auto", "eager"],
        typer.Option("--step-path", help="On a GPU: what was measured to be faster, or eager."),
    ] = "auto",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Train failed runs again.")
    ] = False,
) -> None:
    """Train exactly the missing runs of a study, then measure throughput. Stop and go on at any time."""
    question = _load(study, set, seeds, baseline_seeds)
    _allow(allow_import)
    with _loading():
        from ablate.drive.options import RunOptions
        from ablate.drive.run import run_study

    options = RunOptions(
        device=device,
        executor=executor,
        workers=workers,
        max_runs=max_runs,
        retry_failed=retry_failed,
        cohort=cohort,
        deterministic=deterministic,
        checkpoint_seconds=checkpoint_seconds,
        step_path=step_path,
        run_timeout=run_timeout,
        measure=not no_measure,
    )
    try:
        failed = run_study(question, data, db, options)
    except KeyboardInterrupt:
        print("ablate: interrupted; what was stored stays, run again to go on", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if failed:
        raise typer.Exit(EXIT_FAILED_RUNS)


@app.command()
def search(
    study: StudyFile,
    db: Db = DEFAULT_DB,
    data: DataPath = None,
    set: Assignments = None,
    allow_import: AllowImport = None,
    storage: Storage = None,
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="Make Optuna's storage anew from the database, and end."),
    ] = False,
    max_runs: Annotated[
        int | None, typer.Option("--max-runs", min=0, metavar="N", help="Train at most N runs now.")
    ] = None,
    device: Device = "auto",
    executor: Annotated[str, typer.Option("--executor", help="local or inprocess.")] = "local",
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, metavar="N", help="Trials side by side."),
    ] = None,
) -> None:
    """Let Optuna ask which variants to train, reusing what is trained; then confirm the best."""
    question = _load(study, set)
    _allow(allow_import)
    with _loading():
        from ablate.drive.options import RunOptions
        from ablate.drive.search import SearchOptions, search_study

    options = RunOptions(device=device, executor=executor, workers=workers, max_runs=max_runs)
    try:
        failed = search_study(question, data, db, options, SearchOptions(storage, rebuild))
    except KeyboardInterrupt:
        print("ablate: interrupted; what was stored stays, search again to go on", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if failed:
        raise typer.Exit(EXIT_FAILED_RUNS)


@app.command()
def dashboard(
    db: Db = DEFAULT_DB,
    storage: Storage = None,
    port: Annotated[
        int,
        typer.Option(
            "--port", min=1, max=65535, metavar="N", help="The next free one if it is in use."
        ),
    ] = 8080,
) -> None:
    """Show searches in Optuna's dashboard, on this machine only."""
    with _loading():
        from ablate.commands.dashboard import DashboardOptions, show_dashboard

    show_dashboard(db, DashboardOptions(storage, port))


@app.command()
def measure(
    study: StudyFile,
    db: Db = DEFAULT_DB,
    data: DataPath = None,
    set: Assignments = None,
    allow_import: AllowImport = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where to measure.")
    ] = "auto",
    rounds: Annotated[
        int,
        typer.Option(
            "--rounds", min=9, max=1000, metavar="N", help="Rounds; every variant once in each."
        ),
    ] = 9,
    block_seconds: Annotated[
        float,
        typer.Option(
            "--block-seconds",
            min=2,
            max=600,
            metavar="S",
            help="How long each is timed in a round.",
        ),
    ] = 2.0,
) -> None:
    """Measure how fast every variant of a study is, trained or not: the full protocol."""
    if math.isnan(block_seconds):
        raise OptionError("--block-seconds nan: write a number of seconds, 2 or more")
    question = _load(study, set)
    _allow(allow_import)
    with _loading():
        from ablate.commands.measure import MeasureOptions, measure_study

    measure_study(question, data, db, MeasureOptions(device, rounds, block_seconds))


@app.command()
def report(
    study: StudyFile,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Default: reports/<study>.")
    ] = None,
    db: Db = DEFAULT_DB,
    data: DataPath = None,
    set: Assignments = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 if a file would change.")
    ] = False,
) -> None:
    """Build the report of a study from the database: HTML, Markdown, LaTeX and CSV."""
    question = _load(study, set)
    with _loading():
        from ablate.commands.report import build_report, check_report

    if not check:
        build_report(question, data, db, out)
    elif check_report(question, data, db, out):
        raise typer.Exit(EXIT_CHANGED)


@app.command()
def explain(
    targets: Annotated[
        list[str],
        typer.Argument(metavar="RUN_OR_VARIANT...", help="Run keys, or names of variants."),
    ],
    study: Annotated[
        Path, typer.Option("--study", metavar="STUDY", help="The study file that they belong to.")
    ],
    image: Annotated[
        Path | None,
        typer.Option("--image", metavar="FILE", help="A PNG or JPEG to look at."),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", metavar="N", help="Look at N test images; 2 unless set."),
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            "--layers", metavar="GLOBS", help="Module paths, joined by +: conv*. Repeatable."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Default: reports/<study>/explain.")
    ] = None,
    db: Db = DEFAULT_DB,
    data: DataPath = None,
    set: Assignments = None,
    allow_import: AllowImport = None,
) -> None:
    """Draw what attention does in networks, trained or not: feature maps, gates, heat maps."""
    if image is not None and samples is not None:
        raise OptionError("--image and --samples: give one of them, not both")
    question = _load(study, set)
    _allow(allow_import)
    with _loading():
        from ablate.commands.explain import explain_targets
    from ablate.explain.explanation import Request

    globs = tuple(glob.strip() for given in layers or () for glob in given.split("+"))
    shown = 2 if samples is None else samples
    asked = Request(tuple(targets), question, db, image, shown, globs, data)
    # Untrained networks need no database; one that is named should be there.
    explain_targets(asked, out, must_exist=db != DEFAULT_DB)


@app.command()
def tensorboard(
    study: Annotated[
        Path | None,
        typer.Argument(metavar="[STUDY]", help="Show one study alone, not the whole database."),
    ] = None,
    db: Db = DEFAULT_DB,
    set: Assignments = None,
    port: Annotated[
        int,
        typer.Option(
            "--port", min=1, max=65535, metavar="N", help="The next free one if it is in use."
        ),
    ] = 6006,
    logdir: Annotated[
        Path | None,
        typer.Option("--logdir", metavar="DIR", help="Default: tensorboard, beside the database."),
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Write the event files anew from the database.")
    ] = False,
    no_serve: Annotated[
        bool, typer.Option("--no-serve", help="Write the event files, and end.")
    ] = False,
    allow_import: AllowImport = None,
) -> None:
    """Show training in TensorBoard, on this machine, as it goes on; training itself pays nothing."""
    if set and study is None:
        raise OptionError("--set changes a study: name the study file too")
    question = _load(study, set) if study else None
    _allow(allow_import)
    with _loading():
        from ablate.commands.tensorboard import TensorBoardOptions, show_tensorboard

    show_tensorboard(question, db, TensorBoardOptions(logdir, port, rebuild, serve=not no_serve))


@app.command()
def profile(
    first: Annotated[str, typer.Argument(metavar="A", help="The name of a variant.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The name of another.")],
    study: Annotated[
        Path, typer.Option("--study", metavar="STUDY", help="The study file that they belong to.")
    ],
    db: Db = DEFAULT_DB,
    data: DataPath = None,
    set: Assignments = None,
) -> None:
    """Show where two variants differ in time, module by module, from the profiles in the database."""
    question = _load(study, set)
    with _loading():
        from ablate.commands.profile import compare_times

    compare_times(first, second, question, data, db)


@app.command()
def status(
    which: Annotated[
        str | None,
        typer.Argument(metavar="[STUDY]", help="One study alone: its file, or its name."),
    ] = None,
    format: Annotated[
        Literal["table", "json"], typer.Option("--format", help="For people or for programs.")
    ] = "table",
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again every 2 seconds, until Ctrl-C.")
    ] = False,
    db: Db = DEFAULT_DB,
) -> None:
    """Show how far every study has come: counts, who trains what, and how long it will take."""
    if watch and format == "json":
        raise OptionError("--watch and --format json: a program calls again; leave --watch out")
    name = _study_name(which)
    with _loading():
        from ablate.commands.status import show_status

    show_status(name, db, format, watch=watch)


@app.command()
def merge(
    into: Annotated[str, typer.Argument(metavar="INTO", help="The database that gets the runs.")],
    sources: Annotated[
        list[str], typer.Argument(metavar="FROM...", help="Databases to take runs from.")
    ],
) -> None:
    """Bring the runs of several databases into the first: every run once, conflicts named."""
    with _loading():
        from ablate.commands.transfer import merge_results

    if not merge_results(into, sources):
        raise typer.Exit(EXIT_FAILED_RUNS)


@app.command()
def export(
    format: Annotated[
        Literal["csv", "parquet", "jsonl"], typer.Option("--format", help="Of every file.")
    ] = "csv",
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A folder of its own.")] = Path(
        "export"
    ),
    which: Annotated[
        str | None,
        typer.Option("--study", metavar="STUDY", help="One study alone: its file, or its name."),
    ] = None,
    db: Db = DEFAULT_DB,
) -> None:
    """Write the database's views for other programs, and what `ablate import` needs."""
    name = _study_name(which)
    with _loading():
        from ablate.commands.transfer import export_results

    export_results(name, format, out, db)


@app.command("import")
def import_(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `ablate export` wrote.")],
    db: Db = DEFAULT_DB,
) -> None:
    """Bring an export back, into an empty database."""
    with _loading():
        from ablate.commands.transfer import import_results

    import_results(folder, db)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="The name of a variant.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The name of another.")],
    study: Annotated[
        Path, typer.Option("--study", metavar="STUDY", help="The study file that they belong to.")
    ],
    db: Db = DEFAULT_DB,
    data: DataPath = None,
    set: Assignments = None,
) -> None:
    """Say in words what B does that A does not: accuracy with its interval, and cost."""
    question = _load(study, set)
    with _loading():
        from ablate.commands.compare import compare_accuracies

    compare_accuracies(first, second, question, data, db)


@app.command()
def doctor(db: Db = DEFAULT_DB) -> None:
    """Look at this machine and the database: versions, device, precision, disk, integrity."""
    with _loading():
        from ablate.commands.doctor import examine

    if not examine(db):
        raise typer.Exit(EXIT_FAILED_RUNS)


def _init_ready(name: str, out: Path | None) -> None:
    from ablate.commands.ready import copy_study, next_steps

    file = copy_study(name, out)
    print(f"wrote {file}; next: {next_steps(name, file)}")


def _init_own(
    backbone: str, data: Path, out: Path | None, image_size: int, packages: list[str]
) -> None:
    _allow(packages)
    with _loading():
        from ablate.commands.init import write_study

    print(f"wrote {write_study(backbone, data, out, image_size, packages)}")


def _study_name(given: str | None) -> str | None:
    """The name of a study that is given by its file or by its name."""
    if given is None or not (given.endswith(".toml") or Path(given).is_file()):
        return given
    return _load(Path(given), None).name


def _allow(packages: list[str] | None) -> None:
    from ablate.system.imports import allow_imports

    allow_imports(packages or [])


def _usage(error: Any) -> str:
    """What is wrong with a command line, in one line; nothing if there is none, and help was shown."""
    said: str = error.format_message()
    if not said or "\n" in said:
        return said
    command = error.ctx.command_path if error.ctx else "ablate"
    said = said.replace("Value error, ", "").rstrip(".")
    return f"ablate: {printable(said)}: look at `{command} --help`"


def _interrupt(_signal: int, _frame: Any) -> None:
    """SIGTERM is Ctrl-C."""
    raise KeyboardInterrupt


def _leave_garbage() -> None:
    """Let Python not look for garbage once more as it ends: half a second with torch loaded."""
    if "triton" not in sys.modules:  # it counts what it finds alive then, and complains
        gc.freeze()


@contextmanager
def _loading() -> Iterator[None]:
    """No garbage collection while a command's rooms load: saves 0.7 s of 4 s at every start."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _load(
    path: Path,
    assignments: list[str] | None,
    seeds: int | None = None,
    baseline_seeds: int | None = None,
) -> Study:
    from ablate.study.file import load_study

    given = {"seeds": seeds, "baseline_seeds": baseline_seeds}
    numbers = [f"{key}={value}" for key, value in given.items() if value is not None]
    return load_study(path, [*(assignments or []), *numbers])
