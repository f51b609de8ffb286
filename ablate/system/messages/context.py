"""What a context of a study is called: which backbone, data set or recipe it is of several."""

from __future__ import annotations

from typing import Any

Context = tuple[tuple[str, Any], ...]
"""What is special to one of a study's contexts: keys as `--set` takes them, and their values."""

OF_RECIPE = "recipe."


def context_name(context: Context) -> str:
    """`backbone=cbam_cnn, label_smoothing=0.1`; empty where a study has no contexts."""
    return ", ".join(f"{short_key(key)}={value_name(value)}" for key, value in context)


def short_key(key: str) -> str:
    """`label_smoothing` of `recipe.label_smoothing`, `recipe` of its base."""
    name = key.removeprefix(OF_RECIPE)
    return "recipe" if name == "base" else name


def value_name(value: object) -> str:
    """A value as it stands in a name: `crop+flip`, `true`."""
    if isinstance(value, (list, tuple)):
        return "+".join(map(value_name, value)) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
