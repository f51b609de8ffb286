"""What the process that others are forked from has loaded: everything a driver loads in its life."""

import alembic.command
import torch._dynamo

import ablate.result.snapshot
import ablate.store.reading.frames
import tests.torture.ends
import tests.torture.life
import tests.torture.sharing
import tests.torture.writer

__all__ = ["ablate", "alembic", "tests", "torch"]
