"""What every command that trains or measures does first: a plan whose images are there."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from ablate.drive.proven import prove_steps, trained_images
from ablate.drive.space import refuse_unfit, space_of, told_space
from ablate.plan import Plan, make_plan, with_data
from ablate.result.dataset import told, warnings
from ablate.store.files.beside import check_files
from ablate.store.reading.datasets import told_namesakes
from ablate.store.writing.store import Store
from ablate.study import Study
from ablate.system.hardware.machine import Machine
from ablate.system.messages.console import Counting, say
from ablate.system.messages.language import _, amount, retold
from ablate.system.messages.pulse import PULSE


def prepare_plan(
    study: Study,
    data: Path | None,
    console: Console,
    machine: Machine,
    workers: int | None = None,
    *,
    probe: bool = True,
) -> Plan:
    """The plan of a study, once its images are prepared; so every run has its key. With `probe` each of
    its networks has taken a training step on this machine.

    Raises:
        AblateError: the study or the data must be changed, or the images fit nowhere, which is known
            before one is decoded.
    """
    PULSE.step(_("reading the data set"))
    plan = make_plan(study, data)
    space = space_of(plan, machine.known, workers)
    refuse_unfit(plan, space, every_worker=True)
    said = _("preparing {label} (the first time only)", label=plan.dataset.label)
    PULSE.step(said)
    images = plan.dataset.load(Counting(console, said))
    PULSE.step(_("comparing images"))
    plan = with_data(plan, images)
    trained_on = trained_images(plan, images.train_labels)
    if probe:
        prove_steps(
            plan, machine.known, trained_on, Counting(console, _("a training step of each network"))
        )
    if any(cell.run_key is None for cell in plan.cells):
        plan = with_data(make_plan(study, data), images)
    PULSE.step(_("opening the database"))
    for note in plan.notes:
        say(retold(note), console)
    for line in told_space(space):
        say(line, console)
    if plan.data is not None:
        for line in (
            *told(plan.data),
            *(_("warning: {warning}", warning=each) for each in warnings(plan.data)),
        ):
            say(line, console)
    return plan


def tell_namesakes(plan: Plan, url: str, console: Console) -> None:
    """Say if a study was run on other images of the same name: they are another data set."""
    content = str(plan.dataset.content_hash())
    if said := told_namesakes(url, plan.study.name, plan.dataset.label, content):
        say(said, console)


def check_places(plan: Plan, store: Store, url: str, console: Console) -> None:
    """See that files can be kept where `--files` says, and say which runs began where this command cannot see
    their checkpoints: trained here, they begin anew.

    Raises:
        OptionError: files cannot be kept there; nothing was claimed.
    """
    check_files(url)
    missing = store.unseen({str(cell.run_key) for cell in plan.cells})
    if missing:
        say(
            _(
                "warning: the checkpoints of {runs} cannot be seen from here and will not be "
                "used: give the --files of the command that began them, or a folder that both see",
                runs=amount(missing, "run"),
            ),
            console,
        )
