"""Peak memory and latency of a bundle with an index of a profile's size, in fresh processes here."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from edgesim.bundle import Bundle
from edgesim.errors import StorageError

# The largest that a Raspberry Pi's camera module 2 takes.
_PHOTO_SIZE = (3280, 2464)
_REPEATS = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """What one engine took.

    Attributes:
        peak_mib: peak resident memory of a process that answered one query, in MiB.
        search: `exact`, or `hnsw` by the search graph.
        engine_version: of the engine.
        median_ms: from a photo's bytes to its matches in a running process, or None if it was not asked for.
    """

    peak_mib: float
    search: str
    engine_version: str
    median_ms: float | None


class ProbeError(Exception):
    """The process ended with an error, or was killed; the message is its last line."""


@dataclasses.dataclass(frozen=True)
class Probe:
    """A bundle with an index of random vectors and a photo beside it; made by `open_probe`."""

    bundle: Path
    index: Path
    photo: Path

    def run(self, engine: str, *, timed: bool) -> Measured:
        """Answer queries in a fresh process. Raises `ProbeError` if that fails."""
        repeats = str(_REPEATS if timed else 0)
        output = _run_device("query", self.bundle, self.index, self.photo, engine, repeats)
        return Measured(**json.loads(output.splitlines()[-1]))


@contextlib.contextmanager
def open_probe(bundle: Bundle, entries: int) -> Iterator[Probe]:
    """Make an index of `entries` random unit vectors and a photo, and remove them afterwards.

    Raises:
        StorageError: the index cannot be made.
    """
    with tempfile.TemporaryDirectory(prefix="edgesim-probe-") as folder:
        probe = Probe(bundle.folder, Path(folder) / "index", Path(folder) / "photo.jpg")
        probe.photo.write_bytes(camera_photo())
        try:
            _run_device("index", probe.bundle, probe.index, str(entries))
        except ProbeError as error:
            raise StorageError(f"{folder}: an index of {entries} entries cannot be made ({error})") from error
        yield probe


def camera_photo() -> bytes:
    """Return a JPEG of 8 megapixels with fine detail all over; always the same."""
    width, height = _PHOTO_SIZE
    coarse = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize(_PHOTO_SIZE, Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def _run_device(*arguments: str | Path) -> str:
    # Found wherever this process found edgesim, installed or not.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    result = subprocess.run(
        [sys.executable, "-m", "edgesim_export.device_run", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if result.returncode != 0:
        status = f"ended with status {result.returncode}"
        if result.returncode < 0:
            status = f"killed by {signal.Signals(-result.returncode).name}"
        raise ProbeError((result.stderr.strip().splitlines() or [status])[-1])
    return result.stdout
