"""`python -m benchmarks.calibrate_trainings`: verdicts on real trainings whose truth is known.

The baseline against a copy of itself (`identity`) trained with other seeds: 20 disjoint sets of seeds,
each a study of its own; at most 2 may say better or worse, which at 5 % happens in 92 of 100 tries. And
against a network whose attention is drawn by lot (`random_gate`): at least 18 must find it worse. 300
digits to learn from, 1,258 to test on, a network that is narrow enough for its gates to matter, 8 seeds
of each arm: 960 trainings of less than a second. They are kept in a database, so a second call only judges.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ablate.report.summary import summarize
from ablate.stats import Sample, Verdict, effects
from ablate.store.reading.frames import Which, read_frames
from ablate.study import Study
from ablate.study.file import load_study
from ablate.system.messages.console import say

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "results" / "calibrate"
SETS, SEEDS = 20, 8
MOST_FALSE, FEWEST_FOUND = 2, 18
COPY, CRIPPLED = "identity(pool*)", "random_gate(pool*)"

STUDY = """\
name = "calibrate"
dataset = "digits(test_fraction=0.7)"
image_size = 16
backbone = "cbam_cnn(width=0.25)"
seeds = {seeds}

[data]
train_images = 300

[recipe]
epochs = 12
batch_size = 64
learning_rate = 3e-3
schedule = "cosine"
augment = []

[[grid]]
attention = "none"

[[grid]]
attention = ["identity", "random_gate"]
position = "pool*"
"""


def main(arguments: Sequence[str]) -> int:
    """Train what is missing, judge every set; 1 if a bar is missed."""
    asked = _parser().parse_args(arguments)
    asked.folder.mkdir(parents=True, exist_ok=True)
    file = asked.folder / "study.toml"
    file.write_text(STUDY.format(seeds=2 * SEEDS * asked.sets), encoding="utf-8")
    database = asked.folder / "trainings.db"
    trained = subprocess.run(
        [sys.executable, "-m", "ablate", "run", str(file), "--db", f"sqlite:///{database}",
         "--no-measure", "--device", asked.device],
        check=False,
    )  # fmt: skip
    if trained.returncode:
        return trained.returncode
    samples = read_samples(load_study(file, []), database)
    false, found, total = judge(samples, asked.sets)
    say(
        f"{COPY} against none, other seeds: {false} of {total} sets say better or worse (bar: 2 of 20)"
    )
    say(f"{CRIPPLED} against none: worse in {found} of {total} sets (bar: 18 of 20)")
    return 0 if false <= MOST_FALSE and found >= FEWEST_FOUND * total / SETS else 1


def read_samples(study: Study, database: Path) -> Mapping[str, Sample]:
    """The runs of the three variants with their bits."""
    which = Which(preferred=study.dataset)
    frames = read_frames(f"sqlite:///{database}", study.name, study.setting, which)
    return summarize(frames).samples


def judge(samples: Mapping[str, Sample], sets: int) -> tuple[int, int, int]:
    """In how many sets the copy differs, and the crippled network is worse, of how many."""
    false = found = 0
    for number in range(sets):
        first = range(2 * SEEDS * number + 1, 2 * SEEDS * number + 1 + SEEDS)
        other = range(first.stop, first.stop + SEEDS)
        base, copy = _part(samples["none"], first), _part(samples[COPY], other)
        verdict = effects({"none": base, COPY: copy}, "none")[COPY].verdict
        false += verdict in (Verdict.BETTER, Verdict.WORSE)
        crippled = {"none": base, CRIPPLED: _part(samples[CRIPPLED], first)}
        found += effects(crippled, "none")[CRIPPLED].verdict is Verdict.WORSE
    return false, found, sets


def _part(sample: Sample, seeds: range) -> Sample:
    return Sample.of_bits({seed: bits for seed, bits in sample.correct.items() if seed in seeds})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.calibrate_trainings")
    parser.add_argument("--sets", type=int, default=SETS)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
