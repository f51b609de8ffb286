"""What comes with the program: ready studies, and ready recipes that a study includes by name."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from ablate.errors import unknown

BASE = "base"
"""The key of `[recipe]` that names the recipe which the others differ from."""


def ready_folder() -> Traversable:
    """Where the ready studies lie: in an installed package, or beside it in a checkout."""
    folder: Traversable = files("ablate") / "studies"
    return folder if folder.is_dir() else Path(__file__).parents[2] / "studies"


def ready_files(folder: Traversable) -> dict[str, Traversable]:
    """The TOML files of a folder by their names."""
    found = {
        file.name.removesuffix(".toml"): file
        for file in (folder.iterdir() if folder.is_dir() else ())
        if file.name.endswith(".toml")
    }
    return dict(sorted(found.items()))


def ready_recipe(name: str) -> dict[str, Any]:
    """The whole file of a ready recipe: `recipe`, and where it is from.

    Raises:
        UnknownNameError: no recipe of that name comes with the program.
    """
    known = ready_files(ready_folder() / "recipes")
    if name not in known:
        raise unknown("recipe", name, known)
    return tomllib.loads(known[name].read_text(encoding="utf-8"))


def as_table(recipe: object) -> object:
    """`recipe = "cifar-resnet"` is short for a table with that base alone."""
    return {BASE: recipe} if isinstance(recipe, str) else recipe


def with_base(recipe: object, optimizer_keys: Mapping[str, tuple[str, ...]]) -> object:
    """A `[recipe]` table with what its base says of all that it does not say itself. Another optimizer takes
    of the base's keys of optimizers those alone that it has; phases say the epochs themselves.

    Raises:
        UnknownNameError: no such base.
    """
    recipe = as_table(recipe)
    if not isinstance(recipe, dict) or BASE not in recipe:
        return recipe
    own = {key: value for key, value in recipe.items() if key != BASE}
    base = ready_recipe(str(recipe[BASE]))["recipe"]
    optimizer = own.get("optimizer", base["optimizer"])
    if isinstance(optimizer, str) and optimizer != base["optimizer"]:
        everyones = {key for keys in optimizer_keys.values() for key in keys}
        foreign = everyones - set(optimizer_keys.get(optimizer, ()))
        base = {key: value for key, value in base.items() if key not in foreign}
    if own.get("phases"):
        base = {key: value for key, value in base.items() if key != "epochs"}
    return {**base, **own}
