"""What an index costs its device: no write for a query, few for an add, no file elsewhere, no network."""

import dataclasses
import os
from pathlib import Path

import pytest

from edgesim.bundle import Bundle
from edgesim.runtime.facts import IndexFacts
from edgesim.runtime.index import Index
from edgesim.runtime.store import EntryStore
from tests.helpers import run_python, write_photos
from tests.runtime import file_trace
from tests.runtime.file_trace import Step, read_log
from tests.runtime.index_entries import new_entries, unit_vectors

# What a small camera's photos may be called, and what is said about them.
SINGLE_ADDS = """
import sys
from pathlib import Path
import numpy as np
from edgesim.runtime.index import Index
from tests.runtime.index_entries import new_entry
with Index.open(Path(sys.argv[1])) as index:
    for number in range(int(sys.argv[2])):
        vector = np.zeros(128, np.float32)
        vector[number % 128] = 1
        path = f"/home/pi/photos/line-3/2026-11-24/img_{number:05d}.jpg"
        index.add([new_entry(path, vector, labels={"line": "3", "verdict": "ok"})])
"""

QUERIES = """
import sys
from pathlib import Path
from edgesim.cli.main import main
from edgesim.runtime.index import Index
from tests.runtime.index_entries import unit_vectors
folder, photo, bundle = sys.argv[1:]
for exact_limit in (10, 1000):
    with Index.open(Path(folder), read_only=True, exact_limit=exact_limit) as index:
        for query in unit_vectors(5000, seed=exact_limit):
            assert len(index.search(query, 3)) == 3
for command in (["query", folder, photo], ["index", "list", folder], ["index", "stats", folder]):
    assert main(command) == 0
assert main(["index", "verify", folder]) == 0
"""

NO_NETWORK = """
import socket, sys
from pathlib import Path
def refuse(*arguments, **options):
    raise AssertionError("a socket was opened")
socket.socket = socket.create_connection = socket.getaddrinfo = refuse
import _socket
_socket.socket = refuse
sys.addaudithook(lambda event, arguments: event.startswith("socket.") and refuse())
from edgesim.cli.main import main
photos, bundle = sys.argv[1:]
assert main(["index", "add", "parts", photos, "--encoder", bundle]) == 0
assert main(["query", "parts", photos + "/0001.png"]) == 0
assert main(["index", "remove", "parts", photos + "/0000.png"]) == 0
for action in ("list", "stats", "verify", "rebuild"):
    assert main(["index", action, "parts"]) == 0
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_queries_write_nothing_anywhere(here: Path, tiny_bundle: Bundle) -> None:
    with Index.create(here / "index", tiny_bundle, exact_limit=10) as index:
        index.add(new_entries(unit_vectors(40)))
        index.refresh_graph()
    photo = write_photos(here / "photos", 1)[0]
    log = here / "log"
    result = file_trace.run_recorded(
        "-c", QUERIES, here / "index", photo, tiny_bundle.folder, root=Path("/"), log=log
    )
    assert (result.returncode, result.stderr) == (0, "")
    steps = [step for step in read_log(log) if not str(step.path).startswith("/dev/")]
    assert steps == []


def test_a_thousand_single_adds_write_less_than_20_mb(memory: Path, tiny_bundle: Bundle) -> None:
    spec = dataclasses.replace(tiny_bundle.spec, embedding_dim=128)
    EntryStore.create(memory / "index", dataclasses.replace(IndexFacts.of(tiny_bundle), spec=spec)).close()
    count, log = 1000, memory / "log"
    result = file_trace.run_recorded(
        "-c", SINGLE_ADDS, memory / "index", str(count), root=memory / "index", log=log
    )
    assert (result.returncode, result.stderr) == (0, "")
    steps = read_log(log)
    written = sum(len(step.data) for step in steps if step.call == "write")
    assert count * 128 * 4 < written < 20e6
    # The journal stays: no file is made or removed.
    assert {step.call for step in steps} == {"write", "sync"}
    blocks = stored_blocks(steps)
    # A block at least for each round of the journal: what was there, how much that is, and that it is over.
    assert 3 * count <= blocks["entries.sqlite3-journal"] < 4 * count
    assert count <= blocks["entries.sqlite3"] < 6 * count


def stored_blocks(steps: list[Step]) -> dict[str, int]:
    """Return file -> how many blocks of 4 KiB a disk stores of it, each time that it is synchronised."""
    changed: dict[str, set[int]] = {}
    stored: dict[str, int] = {}
    for step in steps:
        name = step.path.name
        if step.call == "write":
            last = step.offset + len(step.data) - 1
            changed.setdefault(name, set()).update(range(step.offset // 4096, last // 4096 + 1))
        else:
            stored[name] = stored.get(name, 0) + len(changed.pop(name, ()))
    return stored


def test_single_adds_to_a_large_index_do_not_write_its_graph(memory: Path, tiny_bundle: Bundle) -> None:
    with Index.create(memory / "large", tiny_bundle, exact_limit=100) as index:
        index.add(new_entries(unit_vectors(1000)))
        index.refresh_graph()
    log, script = (
        memory / "log-large",
        SINGLE_ADDS.replace("128", "16").replace(
            "Index.open(Path(sys.argv[1]))", "Index.open(Path(sys.argv[1]), exact_limit=100)"
        ),
    )
    script += "        index.refresh_graph()\n"
    result = file_trace.run_recorded("-c", script, memory / "large", "120", root=memory / "large", log=log)
    assert (result.returncode, result.stderr) == (0, "")
    written = [step.path.name for step in read_log(log) if step.call == "rename"]
    # Once, when there were more than a hundred, of 1,100.
    assert len(written) == 2


def test_nothing_is_written_outside_the_index(here: Path, tiny_bundle: Bundle) -> None:
    photos = write_photos(here / "photos", 3)[0].parent
    arguments = ["index", "add", str(here / "parts"), str(photos), "--encoder", str(tiny_bundle.folder)]
    log = here / "log"
    for command in (arguments, ["query", str(here / "parts"), str(photos / "0001.png")]):
        result = file_trace.run_recorded("-m", "edgesim", *command, root=Path("/"), log=log)
        assert (result.returncode, result.stderr) == (0, "")
    written = {step.path for step in read_log(log) if not str(step.path).startswith("/dev/")}
    assert written
    assert {path for path in written if not path.is_relative_to(here / "parts")} <= {here}  # synchronised


def test_no_command_opens_a_socket(here: Path, tiny_bundle: Bundle) -> None:
    write_photos(here / "photos", 3)
    result = run_python("-c", NO_NETWORK, here / "photos", tiny_bundle.folder)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_read_only_root_is_no_hindrance(here: Path, tiny_bundle: Bundle) -> None:
    write_photos(here / "photos", 2)
    add = ["-m", "edgesim", "index", "add", "parts", "photos", "--encoder", tiny_bundle.folder]
    assert run_python(*add).returncode == 0
    expected = run_python("-m", "edgesim", "query", "parts", "photos/0001.png").stdout
    script = """
import subprocess, sys
mounts = [line.split()[4] for line in open("/proc/self/mountinfo")]
for mount in sorted(set(mounts), key=len):
    if not mount.startswith(("/proc", "/sys", "/dev")):
        subprocess.run(["mount", "-o", "remount,ro,bind", mount], stderr=subprocess.DEVNULL)
try:
    open(sys.argv[1], "w")
except OSError as error:
    print(error.strerror)
from edgesim.cli.main import main
print(main(["query", "parts", "photos/0001.png"]))
print(main(["index", "add", "parts", "photos", "--label", "line=3"]))
"""
    result = run_python("-c", script, here / "probe", own_mounts=True)
    assert result.stdout == f"Read-only file system\n{expected}0\n8\n"
    assert result.stderr == (
        "edgesim: parts: read-only, or not yours to write; make it writable and run the same command again "
        "(2 entries are committed)\n"
    )
    assert os.access(here, os.W_OK)
