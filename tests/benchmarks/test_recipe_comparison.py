"""The comparison of recipes: which images it takes, and what it says of samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.picture_sets import picture_set

from ablate.stats import Sample
from ablate.study.file import load_studies
from ablate.study.names import check_recipe
from benchmarks import recipes


def sample(mean: float) -> Sample:
    rng = np.random.default_rng(0)
    images = rng.permutation(1000) / 1000
    return Sample.of_bits({s: images + rng.normal(0, 0.01, 1000) < mean for s in (1, 2, 3)})


def test_the_customary_recipe_is_compared_with_the_best_of_the_others() -> None:
    samples = {"customary": sample(0.6), "sgd": sample(0.5), "adam": sample(0.4)}
    *each, last = recipes.told(samples)
    assert [line.partition(":")[0] for line in each] == ["customary", "sgd", "adam"]
    assert last.startswith("customary against sgd, the best of the others: +")
    assert last.endswith("better")


def test_its_studies_can_be_read_and_differ_by_their_recipe(tmp_path: Path) -> None:
    files = dict(recipes._studies(tmp_path, short=True))
    studies = {name: load_studies(file) for name, file in files.items()}
    assert set(studies) == set(recipes.RECIPES) == set(recipes.SETTINGS)
    everything = [study for each in studies.values() for study in each]
    assert len({study.setting for study in everything}) == len(everything) == 8 + 4 + 4 + 1
    for study in everything:
        check_recipe(study.recipe)
    assert {study.recipe.label_smoothing for study in studies["customary"]} == {0.1}


def test_it_takes_so_many_images_of_each_part_and_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"train": 6, "val": 2, "test": 2}
    monkeypatch.setattr(recipes, "SIZES", sizes)
    data = picture_set(tmp_path / "data")
    with np.load(recipes.some_images(data, tmp_path / "part.npz")) as found:
        for part, size in sizes.items():
            assert found[f"{part}_images"].shape == (size, 32, 32, 3)
            assert len(found[f"{part}_labels"]) == size
        together = np.concatenate([found["train_images"], found["val_images"]])
    assert len(np.unique(together.reshape(8, -1), axis=0)) == 8


def test_without_images_it_says_so() -> None:
    assert recipes.main([]) == 2
