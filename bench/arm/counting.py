"""Counting the instructions of a guest, between marks that its program sets."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from arm.guest import Guest

SOURCE = Path(__file__).with_name("count_instructions.c")
END = -1


@dataclasses.dataclass(frozen=True)
class Mark:
    """What the guest had executed when it set a mark.

    Attributes:
        number: of the mark; `END` for the end of the guest.
        instructions: all of them.
        dot_products: those that are SDOT or UDOT.
    """

    number: int
    instructions: int
    dot_products: int


def build_plugin(folder: Path) -> Path:
    """Compile the TCG plugin into `folder`; returns its path. Needs gcc."""
    plugin = folder / f"{SOURCE.stem}.so"
    options = ("-O2", "-fPIC", "-shared", "-fvisibility=hidden")
    subprocess.run(["gcc", *options, "-o", str(plugin), str(SOURCE)], check=True)
    return plugin


def run_counted(guest: Guest, plugin: Path, *arguments: str | Path) -> tuple[str, list[Mark]]:
    """Run Python in the guest with the plugin; returns what it printed, and the marks that it set."""
    with tempfile.NamedTemporaryFile(dir=plugin.parent) as marks:
        printed = guest.run(*arguments, options=("-plugin", f"{plugin},out={marks.name}"))
        return printed, read_marks(Path(marks.name))


def read_marks(path: Path) -> list[Mark]:
    """Return the marks of a plugin's output, in the order in which they were set."""
    return [Mark(*map(int, line.split())) for line in path.read_text().splitlines()]


def spans(marks: Sequence[Mark], start: int, end: int) -> list[Mark]:
    """Return what was executed from each mark `start` to the mark `end` that follows it at once."""
    return [
        Mark(end, b.instructions - a.instructions, b.dot_products - a.dot_products)
        for a, b in itertools.pairwise(marks)
        if (a.number, b.number) == (start, end)
    ]
