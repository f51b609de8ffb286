"""The user's own functions that train and measure the runs of a study, by the hashes of what they reach.

The hashes stand in the runs' keys, in what is stored with each run, and in the study's definition.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

TRAINER_SOURCE = "trainer_source"
METRIC_SOURCE = "metric_source"
SOURCES = (TRAINER_SOURCE, METRIC_SOURCE)

Sources = Mapping[str, str]
"""By these names; without those that a study does not have."""
NO_SOURCES: Sources = MappingProxyType({})


def sources_in(document: Mapping[str, Any]) -> Sources:
    """Those of a study's definition, or of what a run was trained under."""
    return {key: str(document[key]) for key in SOURCES if document.get(key) is not None}
