"""What every table of a study file is: frozen, of known keys, with finite numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, model_validator


class StudyTable(BaseModel):
    """A table of a study file. An unknown key is an error, not something to pass over."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _numbers_are_numbers(cls, given: Any) -> Any:
        """`seeds = true` would be one seed."""
        for key, value in given.items() if isinstance(given, Mapping) else ():
            if isinstance(value, bool) and key in cls.model_fields and cls._is_number(key):
                raise ValueError(f"{key}: must be a number, not {str(value).lower()}")
        return given

    @classmethod
    def _is_number(cls, key: str) -> bool:
        annotation = cls.model_fields[key].annotation
        kinds = {annotation, *get_args(annotation)}
        kinds |= {get_args(kind)[0] for kind in kinds if get_args(kind)}  # Annotated[int, …] | None
        kinds |= {type(kind) for kind in kinds if not isinstance(kind, type)}  # Literal[1, 3]
        return bool(kinds & {int, float}) and bool not in kinds
