"""Commands that train. Each loads the rooms that it needs."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated, Literal

import typer

from ablate.cli.exits import EXIT_FAILED_RUNS, EXIT_INTERRUPTED
from ablate.cli.options import (
    DEFAULT_DB,
    AllowImport,
    Assignments,
    BaselineSeeds,
    DataPath,
    Db,
    Device,
    FilesOption,
    GpuShare,
    NoProbe,
    RayAddress,
    Rehash,
    Seeds,
    Storage,
    StudyFile,
)
from ablate.cli.steps import (
    allow,
    as_typed,
    begin,
    check,
    keep_files,
    load,
    load_all,
    loading,
    refuse_elsewhere,
    rehash,
    tell_next,
)
from ablate.errors import OptionError
from ablate.system.messages.language import _


def run(
    study: StudyFile,
    db: Db = DEFAULT_DB,
    data: DataPath = None,
    again: Rehash = False,
    set: Assignments = None,
    seeds: Seeds = None,
    baseline_seeds: BaselineSeeds = None,
    allow_import: AllowImport = None,
    max_runs: Annotated[
        int | None, typer.Option("--max-runs", min=0, metavar="N", help="Train at most N runs.")
    ] = None,
    device: Device = "auto",
    executor: Annotated[str, typer.Option("--executor", help="local, ray or inprocess.")] = "local",
    ray_address: RayAddress = None,
    gpu_share: GpuShare = None,
    files: FilesOption = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            metavar="N",
            help="Processes side by side; unless set one per core, or per GPU.",
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
        Literal["auto", "eager", "graph", "compiled"],
        typer.Option(
            "--step-path",
            help="On a GPU: what was measured to be faster, or this, unmeasured and uncompared.",
        ),
    ] = "auto",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Train failed runs again.")
    ] = False,
    no_probe: NoProbe = False,
    keep: Annotated[
        Literal["1", "all", "none", "best"],
        typer.Option(
            "--keep", help="Seeds whose trained weights stay: 1, all, none, or each variant's best."
        ),
    ] = "1",
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="Add seeds until every variant has a verdict.")
    ] = False,
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin", metavar="M", help="What is equivalent, in accuracy; the study's unless set."
        ),
    ] = None,
    max_seeds: Annotated[
        int | None,
        typer.Option(
            "--max-seeds", metavar="N", help="Seeds of each variant at most; 30 unless set."
        ),
    ] = None,
) -> None:
    """Train exactly the missing runs of a study, then measure throughput. Stop and go on at any time."""
    rehash(again)
    _check_until(until_decided, margin, max_seeds, seeds, baseline_seeds)
    refuse_elsewhere("run", study, db)
    questions = load_all(study, set, seeds, baseline_seeds)
    allow(allow_import, study)
    keep_files(files)
    check(*questions)
    begin("run", questions[0], contexts=len(questions))
    with loading():
        from ablate.drive.contexts import decide_contexts, run_contexts
        from ablate.drive.options import RunOptions
        from ablate.drive.run import run_study
        from ablate.drive.until import Until
        from ablate.stats.planning import MAX_SEEDS

    options = RunOptions(
        device=device,
        executor=executor,
        ray_address=ray_address,
        gpu_share=gpu_share,
        workers=workers,
        max_runs=max_runs,
        retry_failed=retry_failed,
        cohort=cohort,
        deterministic=deterministic,
        checkpoint_seconds=checkpoint_seconds,
        step_path=step_path,
        run_timeout=run_timeout,
        measure=not no_measure,
        probe=not no_probe,
        keep=keep,
    )
    until = Until(margin, MAX_SEEDS if max_seeds is None else max_seeds)
    try:
        if until_decided:
            failed = decide_contexts(questions, data, db, options, until)
        elif len(questions) > 1:
            failed = run_contexts(questions, data, db, options)
        else:
            failed = run_study(questions[0], data, db, options)
    except KeyboardInterrupt:
        print(_("ablate: interrupted; what was stored stays, run again to go on"), file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    set = as_typed(set, seeds, baseline_seeds)
    tell_next("report", study, db=db, data=data, set=set)
    if failed:
        raise typer.Exit(EXIT_FAILED_RUNS)


def search(
    study: StudyFile,
    db: Db = DEFAULT_DB,
    data: DataPath = None,
    again: Rehash = False,
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
    executor: Annotated[str, typer.Option("--executor", help="local, ray or inprocess.")] = "local",
    ray_address: RayAddress = None,
    gpu_share: GpuShare = None,
    files: FilesOption = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, metavar="N", help="Trials side by side."),
    ] = None,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed", help="Train failed runs again, of trials and of what confirms."
        ),
    ] = False,
    no_probe: NoProbe = False,
) -> None:
    """Let Optuna ask which variants to train, reusing what is trained; then confirm the best."""
    rehash(again)
    if rebuild and retry_failed:
        raise OptionError(
            "--retry-failed trains, and --rebuild only makes Optuna's storage anew: leave one of them out"
        )
    refuse_elsewhere("search", study, db)
    question = load(study, set)
    allow(allow_import, study)
    keep_files(files)
    check(question)
    begin("search", question)
    with loading():
        from ablate.drive.options import RunOptions
        from ablate.drive.search import SearchOptions, search_study

    options = RunOptions(
        device=device,
        executor=executor,
        ray_address=ray_address,
        gpu_share=gpu_share,
        workers=workers,
        max_runs=max_runs,
        retry_failed=retry_failed,
        probe=not no_probe,
    )
    try:
        failed = search_study(question, data, db, options, SearchOptions(storage, rebuild, study))
    except KeyboardInterrupt:
        print("ablate: interrupted; what was stored stays, search again to go on", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if rebuild:
        _next_is_dashboard(db, storage)
    else:
        tell_next("report", study, db=db, data=data, set=set)
    if failed:
        raise typer.Exit(EXIT_FAILED_RUNS)


def _next_is_dashboard(db: str, storage: str | None) -> None:
    """What was made anew is there to be looked at."""
    from ablate.system.messages.command_line import without_password
    from ablate.system.messages.console import say

    words = ["--db", without_password(db)] if db != DEFAULT_DB else []
    words += ["--storage", without_password(storage)] if storage is not None else []
    say(f"next: ablate {shlex.join(['dashboard', *words])}")


def _check_until(
    until_decided: bool, margin: float | None, max_seeds: int | None, *seeds: int | None
) -> None:
    if until_decided and any(each is not None for each in seeds):
        raise OptionError(
            "--until-decided gives each variant the seeds that it takes: bound them with --max-seeds, "
            "without --seeds and --baseline-seeds"
        )
    if not until_decided and (margin is not None or max_seeds is not None):
        raise OptionError("--margin and --max-seeds belong to --until-decided: give that too")
