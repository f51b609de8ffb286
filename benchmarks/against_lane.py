"""One side of `benchmarks.against`: trains a lap for each line that it is given, with the modules of the
checkout in which it is started. What it imports must exist in every checkout that is compared.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from ablate.execute.local import LocalExecutor
from benchmarks.field import Field
from benchmarks.ours import Squad


def main(asked: dict[str, Any]) -> None:
    """Say how attention is computed, then images per second and the mean loss of each lap."""
    workers, cohort = asked["workers"], asked["cohort"]
    with LocalExecutor(workers) as executor:
        squad = Squad(Field(asked["attention"], asked["steps"]), executor)
        if "kernels" in asked:
            squad.kernels = tuple(sorted(asked["kernels"].items()))
        squad.lap(workers, cohort)
        print(json.dumps({"kernels": dict(squad.kernels)}), flush=True)
        for _ in sys.stdin:
            started = time.perf_counter()
            images, loss = squad.lap(workers, cohort)
            speed = images / (time.perf_counter() - started)
            print(json.dumps({"images_per_second": speed, "loss": loss}), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
