"""What a report says, in a notebook: effects and tables as pandas frames, figures as those of Matplotlib."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pandas as pd

from ablate.errors import OptionError, StudyError, nearest, unknown
from ablate.store.reading.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ablate.report.summary import Summary


class StudyResults(Results):
    """What a database holds, and what the report of a study says of it.

    `study` is a study's name; without one it is the only study that there is. `setting` chooses among
    settings of one study, by its beginning; without one it is that which was planned last. The margin is
    the one that the study declared when it was run. Frames are read once, as those of `Results`.
    """

    def effects(self, study: str | None = None, setting: str | None = None) -> pd.DataFrame:
        """Each variant against the baseline: the rows of report.json, by variant.

        Raises:
            StudyError: no such study or setting, or several to choose from.
        """
        from ablate.report.files.numbers import effect_document  # noqa: PLC0415 - as all here: seconds to load

        found = self._summary(study, setting)
        rows = [effect_document(v, v.effect, found.leaked) for v in found.tested if v.effect]
        return pd.DataFrame(rows, columns=None if rows else ["variant"]).set_index("variant")

    def table(self, study: str | None = None, setting: str | None = None) -> pd.DataFrame:
        """The columns of variants.csv, by variant.

        Raises:
            StudyError: as `effects`.
        """
        from ablate.report.files.export import variant_records  # noqa: PLC0415

        return pd.DataFrame(variant_records(self._summary(study, setting))).set_index("variant")

    def figure(
        self, name: str, study: str | None = None, setting: str | None = None,
        width_inches: float | None = None,
    ) -> Figure:  # fmt: skip
        """A figure of the report, by the name of its file, to be changed and saved as any other.

        Raises:
            StudyError: as `effects`.
            UnknownNameError: no such figure.
            OptionError: the study has nothing to show in it.
        """
        from ablate.page import canvas  # noqa: PLC0415
        from ablate.report.gallery import FIGURES, draw_figure  # noqa: PLC0415

        if name not in FIGURES:
            raise unknown("figure", name, FIGURES)
        with canvas.kept() as drawn:
            draw_figure(name, self._summary(study, setting), width_inches)
        if not drawn:
            raise OptionError(f"figure {name}: this study has nothing to show in it")
        return drawn[-1]

    def _summary(self, study: str | None, setting: str | None) -> Summary:
        return _summarized(self, *self._chosen(study, setting))

    def _chosen(self, study: str | None, setting: str | None) -> tuple[str, str]:
        names = list(dict.fromkeys(self.studies["study"]))
        if study is None and len(names) != 1:
            raise StudyError(
                f"name one of the studies of this database: {', '.join(names) or 'none'}"
            )
        name = names[0] if study is None else study
        if name not in names:
            raise StudyError(
                f"there is no study {name!r}{nearest(name, names)}: {', '.join(names) or 'none'}"
            )
        settings = list(dict.fromkeys(self.studies.loc[self.studies["study"] == name, "setting"]))
        fitting = [each for each in settings if each.startswith(setting or "")]
        if not fitting or (setting and len(fitting) > 1):
            raise StudyError(
                f"{name} has the settings {', '.join(settings)}: name one, not {setting!r}"
            )
        return name, fitting[0]


@cache
def _summarized(results: StudyResults, study: str, setting: str) -> Summary:
    from ablate.report.summary import summarize  # noqa: PLC0415
    from ablate.store.reading.frames import read_frames  # noqa: PLC0415

    return summarize(read_frames(results.url, study, setting))
