"""`edgesim index add` on a full or read-only disk, interrupted, and beside another writer."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgesim.bundle import Bundle
from edgesim.cli.main import main
from edgesim.runtime import database
from edgesim.runtime.index import Index
from tests.helpers import ROOT, run_python, write_photos

COUNT = 400

# Runs with mounts of its own: fills a small file system, looks what is there, makes room and goes on.
FULL_DISK = """
import subprocess, sys
from edgesim.cli.main import main
disk, photos, bundle = sys.argv[1:]
mount = ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", disk]
subprocess.run(mount, check=True)
for room in ("size=96k", "size=96k", "size=10m"):
    subprocess.run(["mount", "-o", "remount," + room, disk], check=True)
    print(main(["index", "add", disk + "/parts", photos, "--encoder", bundle]), flush=True)
    main(["index", "list", disk + "/parts", "--json"])
    print("---", flush=True)
"""

READ_ONLY = """
import subprocess, sys
from edgesim.cli.main import main
subprocess.run(["mount", "--bind", "parts", "parts"], check=True)
subprocess.run(["mount", "-o", "remount,ro,bind", "parts"], check=True)
for arguments in sys.argv[1:]:
    print(main(arguments.split()), flush=True)
"""

# Stops at the 101st image, says so and waits for the signal. Commits by count, however slow the machine.
STOPS = """
import itertools, signal, sys, time
from edgesim.cli.main import main
from edgesim.runtime import ingest
from edgesim.runtime.embedder import Embedder
# Where a shell runs the tests in the background, SIGINT is ignored and that is inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)
ingest.COMMIT_SECONDS = 1e9
embed_pixels, calls = Embedder.embed_pixels, itertools.count()
def stop_at_the_101st(self, pixels):
    if next(calls) == 100:
        print("here", flush=True)
        time.sleep(600)
    return embed_pixels(self, pixels)
Embedder.embed_pixels = stop_at_the_101st
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paths_in(folder: Path) -> list[str]:
    with Index.open(folder, read_only=True) as index:
        return [entry.path for entry in index.entries()]


def test_a_full_disk(here: Path, tiny_bundle: Bundle) -> None:
    photos = [str(path) for path in write_photos(here / "photos", COUNT)]
    (here / "disk").mkdir()
    result = run_python("-c", FULL_DISK, here / "disk", here / "photos", tiny_bundle.folder, own_mounts=True)
    first, second, third = result.stdout.split("---\n")[:3]
    status, _, listing = first.partition("\n")
    committed = [entry["path"] for entry in json.loads(listing)]
    assert status == "8"
    assert 0 < len(committed) < COUNT
    assert committed == photos[: len(committed)]
    message = (
        f"edgesim: {here}/disk/parts: the disk is full; free some space and run the same command again "
        f"({len(committed)} entries are committed)\n"
    )
    # Still full at the second try, and nothing is lost by it.
    assert second == first
    assert result.stderr == 2 * message
    summary, status, listing = third.split("\n", 2)
    added = COUNT - len(committed)
    assert summary == (
        f"{here}/disk/parts: {added} added, 0 updated, {len(committed)} unchanged, 0 skipped; {COUNT} entries"
    )
    assert status == "0"
    assert [entry["path"] for entry in json.loads(listing)] == photos


def test_a_read_only_folder(here: Path, tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    write_photos(here / "photos", 3)
    assert main(["index", "add", "parts", "photos", "--encoder", str(tiny_bundle.folder)]) == 0
    write_photos(here / "photos", 1, start=3)
    capsys.readouterr()
    reading = ["query parts photos/0001.png", "index list parts", "index stats parts"]
    for arguments in reading:
        assert main(arguments.split()) == 0
        print(0)
    expected = capsys.readouterr().out
    result = run_python("-c", READ_ONLY, *reading, "index add parts photos", own_mounts=True)
    assert result.stdout == f"{expected}8\n"
    assert result.stderr == (
        "edgesim: parts: read-only, or not yours to write; make it writable and run the same command again "
        "(3 entries are committed)\n"
    )


def test_what_only_reads_never_opens_the_index_for_writing(
    here: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photos(here / "photos", 1)
    assert main(["index", "add", "parts", "photos", "--encoder", str(tiny_bundle.folder)]) == 0
    monkeypatch.setattr("edgesim.runtime.store.connect_to_write", None)
    for arguments in (
        ["query", "parts", "photos/0000.png"],
        ["index", "list", "parts"],
        ["index", "stats", "parts"],
    ):
        assert main(arguments) == 0


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_an_interruption_keeps_what_is_committed_and_nothing_else(
    here: Path, tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str], kill: signal.Signals
) -> None:
    photos = [str(path) for path in write_photos(here / "photos", 130)]
    command = ["index", "add", "parts", "photos", "--encoder", str(tiny_bundle.folder)]
    with subprocess.Popen(
        [sys.executable, "-c", STOPS, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(kill)
        out, err = process.communicate()
    if kill == signal.SIGINT:
        message = "interrupted; 64 entries are committed in parts, run the same command again to go on"
        assert (process.returncode, out, err) == (130, "", f"edgesim: {message}\n")
    else:
        assert process.returncode == -signal.SIGKILL
    assert paths_in(here / "parts") == photos[:64]
    assert main(command) == 0
    assert capsys.readouterr().out == "parts: 66 added, 0 updated, 64 unchanged, 0 skipped; 130 entries\n"
    assert sorted(paths_in(here / "parts")) == photos


def test_an_interruption_before_anything_is_added(
    here: Path, tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(paths: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgesim.runtime.matcher.find_images", interrupted)
    assert main(["index", "add", "parts", "photos", "--encoder", str(tiny_bundle.folder)]) == 130
    assert capsys.readouterr() == ("", "edgesim: interrupted; what was committed before is kept\n")
    assert not (here / "parts").exists()


def test_two_writers_at_once(here: Path, tiny_bundle: Bundle) -> None:
    photos = [str(path) for path in write_photos(here / "photos", 200)]
    command = [
        sys.executable,
        "-m",
        "edgesim",
        "index",
        "add",
        "parts",
        "photos",
        "--encoder",
        tiny_bundle.folder,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert main(["index", "add", "parts", "photos/0000.png", "--encoder", str(tiny_bundle.folder)]) == 0
    writers = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
        for _ in range(2)
    ]
    assert [(writer.communicate()[1], writer.returncode) for writer in writers] == [(b"", 0)] * 2
    assert sorted(paths_in(here / "parts")) == photos


def test_another_program_holds_the_index(
    here: Path,
    tiny_bundle: Bundle,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert database.BUSY_TIMEOUT == 10
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.05)
    write_photos(here / "photos", 1)
    assert main(["index", "add", "parts", "photos", "--encoder", str(tiny_bundle.folder)]) == 0
    write_photos(here / "photos", 1, start=1)
    capsys.readouterr()
    with Index.open(here / "parts") as holder, database.transaction(holder._store._connection, "IMMEDIATE"):
        assert main(["index", "add", "parts", "photos"]) == 5
    assert capsys.readouterr() == (
        "",
        "edgesim: parts: another program is writing to this index; run the command again when it is done\n",
    )
    assert main(["index", "add", "parts", "photos"]) == 0
