"""What training, measuring and searching give back: plain values. No torch."""

from __future__ import annotations

from ablate.result.architecture import Architecture, Layer
from ablate.result.choice import Choice
from ablate.result.cost import Cost, Profiled, ProfilePath, ProfileRow, Trace
from ablate.result.path import ComputePath
from ablate.result.run import (
    Anew,
    Checkpoint,
    Epoch,
    Event,
    Failed,
    FailureKind,
    Finished,
    GivenBack,
    Halved,
    Histograms,
    Kept,
    Noted,
    PartTested,
    Started,
    Step,
)
from ablate.result.status import TOLD, RunStatus

__all__ = [
    "TOLD",
    "Anew",
    "Architecture",
    "Checkpoint",
    "Choice",
    "ComputePath",
    "Cost",
    "Epoch",
    "Event",
    "Failed",
    "FailureKind",
    "Finished",
    "GivenBack",
    "Halved",
    "Histograms",
    "Kept",
    "Layer",
    "Noted",
    "PartTested",
    "ProfilePath",
    "ProfileRow",
    "Profiled",
    "RunStatus",
    "Started",
    "Step",
    "Trace",
]
