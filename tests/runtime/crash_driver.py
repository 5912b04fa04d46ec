"""Makes commits in a process that is killed before its n-th step, for every n.

    python crash_driver.py FOLDER BUNDLE      with the recorder preloaded, see file_trace.py

FOLDER/kills/n/disk is what the n-th process left, FOLDER/kills/n/log its record; FOLDER/whole the same of one
that was not killed.
"""

import os
import sys
from pathlib import Path

import hnswlib  # noqa: F401 - once, before the forks

from edgesim.bundle import Bundle
from tests.runtime import file_trace
from tests.runtime.commits import work


def run(folder: Path, bundle: Bundle, steps: int) -> int:
    """Run the commits in a fork; return its status."""
    (folder / "disk").mkdir(parents=True)
    child = os.fork()
    if child == 0:
        file_trace.start(folder / "disk", folder / "log", steps)
        work(folder / "disk" / "new" / "index", bundle, lambda number: file_trace.mark(str(number)))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    folder, bundle = Path(sys.argv[1]), Bundle.load(Path(sys.argv[2]))
    assert run(folder / "whole", bundle, -1) == 0
    count = sum(step.call != "mark" for step in file_trace.read_log(folder / "whole" / "log"))
    for steps in range(count):
        assert run(folder / "kills" / str(steps), bundle, steps) == -9


if __name__ == "__main__":
    main()
