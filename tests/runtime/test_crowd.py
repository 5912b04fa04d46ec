"""Two programs write to an index while four threads of two others read it: whole commits, in order."""

import os
import subprocess
import sys
from pathlib import Path

from edgesim.bundle import Bundle
from edgesim.runtime.index import Index
from edgesim.runtime.verify import verify_index
from tests.helpers import ROOT

COMMITS = 60


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    script = Path(__file__).with_name("crowd.py")
    return subprocess.Popen(
        [sys.executable, script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )


def test_readers_see_whole_commits_in_order_while_two_programs_write(
    memory: Path, tiny_bundle: Bundle
) -> None:
    folder = memory / "index"
    Index.create(folder, tiny_bundle).close()
    readers = [start(folder, "read", str(COMMITS), "a", "b") for _ in range(2)]
    writers = [start(folder, "write", name, str(COMMITS)) for name in "ab"]
    for process in (*writers, *readers):
        out, err = process.communicate(timeout=120)
        lines = [line for line in err.splitlines() if "searched exactly" not in line]
        assert (process.returncode, lines) == (0, [])
        if process in readers:
            assert len(out.splitlines()) == 2
    assert verify_index(folder).damage == []
    with Index.open(folder) as index:
        assert len(index) == 2 * (COMMITS + 1)
