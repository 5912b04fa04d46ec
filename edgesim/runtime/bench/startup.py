"""From the start of a process to its first embedding: what a user waits for who asks once."""

from __future__ import annotations

import time

from edgesim.bench_figures import Startup
from edgesim.engines import ENGINES
from edgesim.runtime.bench.children import finish, start_python
from edgesim.runtime.bench.timing import summarise

# One more is started before and not counted: it brings the files into the page cache. Our choice.
RUNS = 5
# The clock is read in the first line: what comes before is the start of Python itself. Of this package the
# process imports the one module that is part of what is measured.
_CODE = """\
import time; first_line = time.monotonic()
import sys
from edgesim.runtime.bench.first_embedding import main
main(first_line, sys.argv[1:])
"""


def measure_startup(bundle: str, engine: str, threads: int) -> Startup:
    """Start processes that embed once; return what that took.

    Args:
        bundle: as `edgesim.runtime.embedder.open_bundle` takes it.
        engine, threads: of the inference.

    Raises:
        ChildError: a process failed.
    """
    runs = [_run(bundle, engine, threads) for _ in range(RUNS + 1)][1:]
    return Startup(**{stage: summarise([[run[stage]] for run in runs]) for stage in runs[0]})


def _run(bundle: str, engine: str, threads: int) -> dict[str, float]:
    module = ENGINES[engine].module
    started = time.monotonic()
    process = start_python(_CODE, repr(started), bundle, engine, str(threads), module)
    measured: dict[str, float] = finish(process)
    return measured
