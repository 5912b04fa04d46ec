"""A process that does nothing but answer queries; run by `edgesim.runtime.bench.memory`, which watches it.

It imports what a program imports that answers queries, and little else.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from edgesim.runtime.bench.queries import QueryStages
from edgesim.runtime.bench.resident import peak_mib
from edgesim.runtime.bench.timing import repeat
from edgesim.runtime.embedder import open_bundle
from edgesim.runtime.index import Index


def main(arguments: list[str]) -> None:
    """Answer queries for some seconds, and print the peak memory of this process in MiB.

    Args:
        arguments: bundle, engine, threads, folder of the index or nothing, path of the photo, seconds.
    """
    name, engine, threads, where, photo, seconds = arguments
    bundle, content = open_bundle(name), Path(photo).read_bytes()
    with contextlib.ExitStack() as stack:
        index = stack.enter_context(Index.open(Path(where), bundle, read_only=True)) if where else None
        stages = QueryStages(bundle, engine, int(threads), index)
        repeat(lambda: stages.answer(content), float(seconds))
        print(json.dumps(peak_mib()))
