"""What training, measuring and searching give back: plain values. No torch."""

from __future__ import annotations

from ablate.result.architecture import Architecture, Layer
from ablate.result.choice import Choice
from ablate.result.cost import Cost, Profiled, ProfilePath, ProfileRow, Trace
from ablate.result.run import (
    Checkpoint,
    Epoch,
    Event,
    Failed,
    FailureKind,
    Finished,
    Halved,
    Histograms,
    Kept,
    Noted,
    Started,
    Step,
)
from ablate.result.status import RunStatus

__all__ = [
    "Architecture",
    "Checkpoint",
    "Choice",
    "Cost",
    "Epoch",
    "Event",
    "Failed",
    "FailureKind",
    "Finished",
    "Halved",
    "Histograms",
    "Kept",
    "Layer",
    "Noted",
    "ProfilePath",
    "ProfileRow",
    "Profiled",
    "RunStatus",
    "Started",
    "Step",
    "Trace",
]
