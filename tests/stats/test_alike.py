"""What arms do alike at a seed counts once, however many arms do it; alone they are judged as before."""

import itertools

import numpy as np
import pytest

from ablate.stats import Sample
from ablate.stats.alike import times_by_seed
from ablate.stats.arms import Arms, gather
from ablate.stats.contrasts import estimates


def arms_of(
    *, variants: int, seeds: tuple[int, int] = (200, 200), alike: float, paired: bool = True
) -> Arms:
    """Two groups of variants without bits; a part of what seeds do is done to a whole group."""
    rng, samples = np.random.default_rng(1), {}
    for group, n in enumerate(seeds):
        common = rng.normal(0, np.sqrt(alike), n)
        for variant in range(variants):
            scores = 0.8 + 0.01 * (common + rng.normal(0, np.sqrt(1 - alike), n))
            found = dict(enumerate(scores.tolist(), 1))
            samples[f"{group}/{variant}"] = Sample(found, paired=paired)
    arms = gather(samples)
    assert arms is not None
    return arms


def groups(arms: Arms) -> dict[str, float]:
    half = len(arms.names) // 2
    return {name: (1 if name[0] == "0" else -1) / half for name in arms.names}


def row(arms: Arms) -> np.ndarray:
    return np.array([list(groups(arms).values())])


@pytest.mark.parametrize("seeds", [(200, 200), (200, 100)])
def test_the_error_of_a_group_is_what_seeds_make_it(seeds: tuple[int, int]) -> None:
    """As blocks, and where one group has other seeds: by the formula, not by the number of variants."""
    for variants, alike in itertools.product((2, 8), (0.0, 0.8)):
        arms = arms_of(variants=variants, seeds=seeds, alike=alike)
        (found,) = estimates(arms, [groups(arms)])
        truth = (alike + (1 - alike) / variants) * 1e-4 * sum(1 / n for n in seeds)
        assert found.error == pytest.approx(np.sqrt(truth), rel=0.2)


def test_single_arms_and_seeds_with_nothing_in_common_are_left_alone() -> None:
    arms = arms_of(variants=4, alike=0.8)
    one = np.array([[1.0, 0, 0, 0, -1.0, 0, 0, 0]])
    assert times_by_seed(arms, one)[0].tolist() == [1.0]
    apart = arms_of(variants=4, alike=0.8, paired=False)
    assert times_by_seed(apart, row(apart))[0].tolist() == [1.0]
    assert times_by_seed(arms, row(arms))[0][0] > 2


def test_few_seeds_are_believed_only_in_part() -> None:
    arms = arms_of(variants=4, alike=0.0, seeds=(4, 4))
    _, dof = times_by_seed(arms, row(arms))
    assert dof[0] == pytest.approx(3 + 4) or np.isinf(dof[0])
    few, many = arms_of(variants=4, alike=0.8, seeds=(4, 4)), arms_of(variants=4, alike=0.8)
    assert estimates(few, [groups(few)])[0].dof < 8 < estimates(many, [groups(many)])[0].dof
