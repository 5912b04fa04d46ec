"""The converters print pages to the terminal, from Python and from C++; a user of edgesim asked for none."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

_KEPT_CHARACTERS = 4000


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow warnings and all that is written to stdout and stderr, also below Python.

    An exception that passes through carries the end of the text as a note, which a traceback shows.
    """
    # Never closed: a logging handler made in here keeps its stream, and would fail on a closed one later.
    from_python = io.StringIO()
    with tempfile.TemporaryFile() as from_below:
        try:
            with (
                warnings.catch_warnings(),
                contextlib.redirect_stdout(from_python),
                contextlib.redirect_stderr(from_python),
                _descriptors_to(from_below.fileno()),
            ):
                warnings.simplefilter("ignore")
                yield
        except Exception as error:
            from_below.seek(0)
            text = from_python.getvalue() + from_below.read().decode(errors="replace")
            error.add_note(text[-_KEPT_CHARACTERS:])
            raise


@contextlib.contextmanager
def _descriptors_to(target: int) -> Iterator[None]:
    """Point the file descriptors 1 and 2 at `target`, which is what C++ writes to."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            stream.flush()
    saved = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
    for descriptor in saved:
        os.dup2(target, descriptor)
    try:
        yield
    finally:
        for descriptor, copy in saved.items():
            os.dup2(copy, descriptor)
            os.close(copy)
