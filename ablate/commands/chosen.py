"""Which of a study's data sets a command speaks of: by content where there are images, else by its name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ablate.datasets import find_dataset, open_dataset
from ablate.errors import DatabaseError
from ablate.store.reading.elsewhere import elsewhere_of
from ablate.store.reading.frames import Frames, Which, read_frames
from ablate.study import Study
from ablate.system.messages.console import say
from ablate.system.messages.language import _

Asked = Study | str
"""A study as its file has it, or the name of one whose runs were trained elsewhere."""


def frames_of(study: Asked, data: Path | None, url: str) -> Frames:
    """What the database has of a study on the images at `data`, without it on those that were run last.

    Raises:
        StudyError: no such dataset.
        DataError: `data` cannot be read.
        DatabaseError: there is nothing of this study in the database.
    """
    if isinstance(study, str):
        return _frames_elsewhere(study, url)
    find_dataset(study.dataset)
    which = Which(preferred=study.dataset) if data is None else which_at(data, study)
    frames = read_frames(url, study.name, study.setting, which)
    if frames.others:
        content, others = str(frames.study["content"]), ", ".join(frames.others)
        said = "" if data is not None else _(", the last that was run; --data PATH chooses")
        say(
            _(
                "note: this is {study} (content {content}){said}. There is also: {others}",
                study=frames.study["dataset"],
                content=content,
                said=said,
                others=others,
            )
        )
    return replace(frames, study={**frames.study, "metric": study.metric})


def _frames_elsewhere(name: str, url: str) -> Frames:
    """What was imported under this name.

    Raises:
        DatabaseError: nothing was.
    """
    found = elsewhere_of(url, name)
    if found is None:
        raise DatabaseError(f"the database has no study {name!r} that was trained elsewhere")
    frames = read_frames(url, name, found.setting, Which(found.dataset_hash, found.dataset))
    if frames.others:
        say(
            _(
                "note: other results from elsewhere have this name too ({others}); these were imported last",
                others=", ".join(frames.others),
            )
        )
    return frames


def which_at(data: Path, study: Study) -> Which:
    """The images at `data`: by content where they are here, else by their name, and a note says so.

    Raises:
        DataError: they cannot be read.
    """
    dataset = open_dataset(study.dataset, data, study.image_size, study.data)
    if data.exists():
        return Which(dataset.content_hash(), dataset.label)
    say(
        _(
            "note: {data} is not here, so the data set is looked for by its name, {label}",
            data=data,
            label=dataset.label,
        )
    )
    return Which(name=dataset.label)
