"""Watching a folder: a file is taken once, when it is complete, and again when it has changed."""

import os
import threading
from pathlib import Path

import pytest

from edgesim.bundle import Bundle
from edgesim.errors import InputError
from edgesim.runtime.ingest import AddReport
from edgesim.runtime.matcher import Matcher
from edgesim.runtime.watching import FolderWatch, watch
from tests.helpers import photo, png, write_photos


def write(path: Path, content: bytes, mtime: int) -> Path:
    path.write_bytes(content)
    os.utime(path, (mtime, mtime))
    return path


def test_a_file_is_taken_when_it_has_not_changed_for_a_while(tmp_path: Path) -> None:
    changes = FolderWatch([tmp_path], quiet=3)
    path = write(tmp_path / "a.png", b"x", 1)
    assert changes.poll(10) == []
    assert changes.poll(12) == []
    write(path, b"xy", 1)  # it grows within one tick of the clock
    assert changes.poll(13) == []
    write(path, b"xz", 2)  # another content of the same size
    assert changes.poll(15) == []
    assert changes.poll(17) == []
    assert changes.poll(18) == [path]
    assert changes.poll(30) == []
    write(path, b"xz", 3)
    assert changes.poll(31) == []
    assert changes.poll(34) == [path]


def test_what_is_not_taken(tmp_path: Path) -> None:
    changes = FolderWatch([tmp_path], quiet=1)
    write(tmp_path / "empty.png", b"", 1)
    write(tmp_path / "notes.txt", b"x", 1)
    write(tmp_path / ".hidden.png", b"x", 1)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "dangling.png").symlink_to(tmp_path / "none")
    inside = write(tmp_path / "folder.png" / "b.JPG", b"x", 1)
    assert changes.poll(0) == []
    assert changes.poll(5) == [inside]


def test_a_file_that_comes_back_is_taken_again(tmp_path: Path) -> None:
    changes = FolderWatch([tmp_path / "share"], quiet=1)
    assert changes.poll(0) == []  # the share is not there
    (tmp_path / "share").mkdir()
    path = write(tmp_path / "share" / "a.png", b"x", 1)
    assert (changes.poll(1), changes.poll(2)) == ([], [path])
    (tmp_path / "share").rename(tmp_path / "gone")
    assert changes.poll(3) == []
    (tmp_path / "gone").rename(tmp_path / "share")
    assert (changes.poll(4), changes.poll(5)) == ([], [path])


def test_what_is_removed(tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    paths = [write(tmp_path / "share" / f"{name}.png", b"x", 1) for name in "abc"]
    other = write(tmp_path / "other.png", b"x", 1)
    changes = FolderWatch([tmp_path], quiet=3)
    changes.poll(0)
    assert changes.removed(9) == []
    paths[1].unlink()
    paths[2].unlink()
    changes.poll(10)
    write(paths[2], b"x", 1)  # it was only being replaced
    changes.poll(12)
    assert changes.removed(12) == []
    changes.poll(13)
    assert changes.removed(13) == [paths[1]]
    assert changes.removed(99) == []
    # The share goes away and comes back.
    (tmp_path / "share").rename(tmp_path / ".gone")
    (tmp_path / "share").mkdir()
    changes.poll(20)
    assert changes.removed(30) == []
    (tmp_path / ".gone" / "a.png").unlink()
    (tmp_path / "share").rmdir()
    (tmp_path / ".gone").rename(tmp_path / "share")
    changes.poll(40)
    assert changes.removed(40) == [paths[0]]
    other.unlink()
    changes.poll(50)
    assert changes.removed(60) == []


def test_watching_removes_if_it_is_asked_to(tmp_path: Path, tiny_bundle: Bundle) -> None:
    first, second, third = write_photos(tmp_path / "photos", 3)
    stop, removed = threading.Event(), []

    def remove(count: int) -> None:
        removed.append(count)
        stop.set()

    with Matcher(tmp_path / "index", str(tiny_bundle.folder), create=True) as matcher:
        matcher.add([third])
        third.unlink()  # before anybody watched
        watch(
            matcher,
            [tmp_path / "photos"],
            stop,
            lambda _: second.unlink(),
            quiet=0.05,
            every=0.01,
            remove=remove,
        )
        assert removed == [1]
        assert [entry.path for entry in matcher.index.entries()] == [str(third), str(first)]


def test_watching_adds_what_is_there_and_what_comes(tmp_path: Path, tiny_bundle: Bundle) -> None:
    write_photos(tmp_path / "photos", 66)
    stop, reports = threading.Event(), []

    def report(result: AddReport) -> None:
        reports.append(result)
        if len(reports) == 2:
            (tmp_path / "photos" / "cut.png").write_bytes(png(photo(70))[:-40])
        if len(reports) == 3:
            (tmp_path / "photos" / "cut.png").write_bytes(png(photo(70)))
        if len(reports) == 4:
            stop.set()

    with Matcher(tmp_path / "index", str(tiny_bundle.folder), create=True) as matcher:
        watch(matcher, [tmp_path / "photos"], stop, report, labels={"line": "3"}, quiet=0.05, every=0.01)
        entries = matcher.index.entries()
    assert [(r.added, r.updated, len(r.skipped)) for r in reports] == [
        (64, 0, 0),
        (2, 0, 0),
        (0, 0, 1),
        (1, 0, 0),
    ]
    assert reports[2].skipped[0][0] == str(tmp_path / "photos" / "cut.png")
    assert len(entries) == 67
    assert all(entry.labels == {"line": "3"} for entry in entries)


def test_stopping_between_two_batches(tmp_path: Path, tiny_bundle: Bundle) -> None:
    write_photos(tmp_path / "photos", 65)
    stop = threading.Event()
    with Matcher(tmp_path / "index", str(tiny_bundle.folder), create=True) as matcher:
        watch(matcher, [tmp_path / "photos"], stop, lambda _: stop.set(), quiet=0.05, every=0.01)
        assert len(matcher.index) == 64


def test_a_folder_that_is_not_there(tmp_path: Path, tiny_bundle: Bundle) -> None:
    with (
        Matcher(tmp_path / "index", str(tiny_bundle.folder), create=True) as matcher,
        pytest.raises(InputError, match=r"/none: no such folder$"),
    ):
        watch(matcher, [tmp_path / "none"], threading.Event(), lambda _: None)
