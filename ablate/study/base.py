"""What every table of a study file is: frozen, of known keys, with finite numbers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class StudyTable(BaseModel):
    """A table of a study file. An unknown key is an error, not something to pass over."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
