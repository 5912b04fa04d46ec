"""The architectures that ship, one TOML file each; a user's own file says the same things.

A file is an `EncoderConfig`. Settings of a training name it and may override its values:

    [encoder]
    model = "hybrid"
    input_size = 28
"""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from edgesim.errors import UsageError
from edgesim.models.encoder import EncoderConfig
from edgesim.settings import build, read_named, shipped_names

# For photographs; what a training without other words uses, and the built-in encoder's.
DEFAULT_MODEL = "photo"


def _folder() -> Traversable:
    return resources.files("edgesim.models.zoo")


def model_names() -> list[str]:
    """Return the names of the architectures that ship."""
    return shipped_names(_folder())


def load_model(name_or_path: str) -> EncoderConfig:
    """Return an architecture that ships, or one of the user's own. Raises `UsageError`."""
    _, file, values = read_named("model", name_or_path, _folder())
    return build(EncoderConfig, values, file)


def encoder_values(table: dict[str, Any], where: str) -> dict[str, Any]:
    """Return an `[encoder]` table with its `model`, a name or path, replaced by what that file says.

    Args:
        table: the table as read; without `model` and without `stages` it is about the default model.
        where: the file and table, as messages call them.

    Raises:
        UsageError: no such model, or `model` is not a text.
    """
    if "model" not in table and "stages" in table:
        return table
    name = table.get("model", DEFAULT_MODEL)
    if not isinstance(name, str):
        raise UsageError(f"{where}: model: expected a text, got {name!r}")
    _, _, values = read_named("model", name, _folder())
    return values | {key: value for key, value in table.items() if key != "model"}
