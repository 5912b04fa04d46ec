"""Adding images: what is read, what is committed and when, what is skipped and why."""

import hashlib
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgesim.bundle import Bundle
from edgesim.errors import UsageError
from edgesim.runtime import ingest
from edgesim.runtime.embedder import Embedder
from edgesim.runtime.index import Index
from edgesim.runtime.ingest import AddReport, add_images
from tests.helpers import TinyEncoder, photo, png, write_photos


@pytest.fixture
def index(tmp_path: Path, tiny_bundle: Bundle) -> Iterator[Index]:
    with Index.create(tmp_path / "index", tiny_bundle) as index:
        yield index


@pytest.fixture(scope="module")
def embedder(tiny_bundle: Bundle) -> Embedder:
    return Embedder(tiny_bundle)


@pytest.fixture
def never_embeds(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise AssertionError("an image was embedded")

    monkeypatch.setattr(embedder, "load", fail)
    monkeypatch.setattr(embedder, "embed_pixels", fail)


def vectors(index: Index) -> dict[str, np.ndarray]:
    ids, vectors = index._store.vectors()
    paths = {entry.entry_id: entry.path for entry in index.entries()}
    return {paths[int(i)]: vector for i, vector in zip(ids, vectors, strict=True)}


def test_each_image_is_stored_with_its_embedding_and_its_facts(
    index: Index, embedder: Embedder, tmp_path: Path
) -> None:
    paths = write_photos(tmp_path / "photos", 5)
    assert add_images(index, embedder, paths, {"line": "3"}) == AddReport(added=5)
    for entry, path in zip(index.entries(), paths, strict=True):
        status = path.stat()
        assert (entry.path, entry.size, entry.mtime_ns) == (str(path), status.st_size, status.st_mtime_ns)
        assert entry.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert entry.labels == {"line": "3"}
    stored = vectors(index)
    for seed, path in enumerate(paths):
        np.testing.assert_allclose(stored[str(path)], TinyEncoder().embed(photo(seed)), atol=1e-6)


@pytest.mark.usefixtures("never_embeds")
def test_a_file_of_the_same_size_and_time_is_not_read_again(
    index: Index, tmp_path: Path, tiny_bundle: Bundle, embedder: Embedder
) -> None:
    path = write_photos(tmp_path / "photos", 1)[0]
    add_images(index, Embedder(tiny_bundle), [path], {})
    status = path.stat()
    path.write_bytes(b"x" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert add_images(index, embedder, [path], {}) == AddReport(unchanged=1)


@pytest.mark.usefixtures("never_embeds")
def test_a_file_of_the_same_content_is_not_embedded_again(
    index: Index, tmp_path: Path, tiny_bundle: Bundle, embedder: Embedder
) -> None:
    path = write_photos(tmp_path / "photos", 1)[0]
    add_images(index, Embedder(tiny_bundle), [path], {})
    os.utime(path, ns=(1, 2))
    assert add_images(index, embedder, [path], {}) == AddReport(unchanged=1)
    assert index.entries()[0].mtime_ns == 2


def test_another_content_is_embedded_again_and_keeps_its_labels(
    index: Index, embedder: Embedder, tmp_path: Path
) -> None:
    path = write_photos(tmp_path / "photos", 1)[0]
    add_images(index, embedder, [path], {"line": "3", "shift": "1"})
    path.write_bytes(png(photo(77)))
    assert add_images(index, embedder, [path], {"shift": "2"}) == AddReport(updated=1)
    (entry,) = index.entries()
    assert entry.labels == {"line": "3", "shift": "2"}
    np.testing.assert_allclose(vectors(index)[str(path)], TinyEncoder().embed(photo(77)), atol=1e-6)


def test_labels_are_merged_on_a_second_run(index: Index, embedder: Embedder, tmp_path: Path) -> None:
    paths = write_photos(tmp_path / "photos", 2)
    add_images(index, embedder, paths[:1], {"line": "3"})
    assert add_images(index, embedder, paths, {"part": "x"}) == AddReport(added=1, updated=1)
    assert add_images(index, embedder, paths, {"part": "x"}) == AddReport(unchanged=2)
    assert [entry.labels for entry in index.entries()] == [{"line": "3", "part": "x"}, {"part": "x"}]


def test_an_image_is_known_by_its_absolute_path(
    index: Index, embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_photos(tmp_path / "photos", 1)[0]
    (tmp_path / "link").symlink_to("photos")
    monkeypatch.chdir(tmp_path)
    again = [Path("photos/0000.png"), Path("photos/../photos/0000.png"), path]
    assert add_images(index, embedder, again, {}) == AddReport(added=1)
    assert add_images(index, embedder, [Path("link/0000.png")], {}) == AddReport(added=1)
    assert [entry.path for entry in index.entries()] == [str(path), str(tmp_path / "link" / "0000.png")]


def test_each_file_is_read_once(
    index: Index, embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    read_bytes = Path.read_bytes

    def count(path: Path) -> bytes:
        opened.append(path.name)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", count)
    paths = write_photos(tmp_path / "photos", 3)
    add_images(index, embedder, paths, {})
    assert sorted(opened) == [path.name for path in paths]


def test_what_cannot_be_used_is_skipped_with_its_reason(
    index: Index, embedder: Embedder, tmp_path: Path
) -> None:
    good = write_photos(tmp_path, 1)[0]
    text, pipe, huge, gone = (tmp_path / name for name in ("text.jpg", "pipe.jpg", "huge.tif", "gone.png"))
    text.write_text("no image")
    os.mkfifo(pipe)
    with huge.open("wb") as stream:
        stream.truncate(200_000_001)
    report = add_images(index, embedder, [text, pipe, good, huge, gone, tmp_path], {})
    assert report == AddReport(
        added=1,
        skipped=[
            (str(text), "not an image in a known format (JPEG, PNG, WEBP, BMP, TIFF, GIF)"),
            (str(pipe), "not a file"),
            (str(huge), "larger than 200 MB, refused unread"),
            (str(gone), "cannot be read (No such file or directory)"),
            (str(tmp_path), "not a file"),
        ],
    )


def test_an_entry_stays_when_its_file_cannot_be_used_any_more(
    index: Index, embedder: Embedder, tmp_path: Path
) -> None:
    path = write_photos(tmp_path / "photos", 1)[0]
    add_images(index, embedder, [path], {})
    path.write_bytes(b"damaged")
    assert len(add_images(index, embedder, [path], {}).skipped) == 1
    np.testing.assert_allclose(vectors(index)[str(path)], TinyEncoder().embed(photo(0)), atol=1e-6)


@pytest.mark.parametrize(("seconds", "commits"), [(1e9, [64, 64, 2]), (-1.0, [1] * 130)])
def test_commits_come_after_64_images_or_two_seconds(
    index: Index,
    embedder: Embedder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    commits: list[int],
) -> None:
    assert (ingest.COMMIT_IMAGES, ingest.COMMIT_SECONDS) == (64, 2.0)
    monkeypatch.setattr(ingest, "COMMIT_SECONDS", seconds)
    sizes: list[int] = []
    add = index.add
    monkeypatch.setattr(index, "add", lambda entries: (sizes.append(len(entries)), add(entries)))
    add_images(index, embedder, write_photos(tmp_path / "photos", 130), {})
    assert (sizes, len(index)) == (commits, 130)


def test_ctrl_c_keeps_what_is_committed_and_nothing_else(
    index: Index, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "COMMIT_SECONDS", 1e9)
    paths = write_photos(tmp_path / "photos", 130)
    embedder = Embedder(tiny_bundle)
    embed, calls = embedder.embed_pixels, itertools.count()

    def interrupted(pixels: np.ndarray) -> np.ndarray:
        if next(calls) == 100:
            raise KeyboardInterrupt
        return embed(pixels)

    monkeypatch.setattr(embedder, "embed_pixels", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        add_images(index, embedder, paths, {})
    assert str(caught.value) == (
        f"interrupted; 64 entries are committed in {index.folder}, run the same command again to go on"
    )
    assert [entry.path for entry in index.entries()] == [str(path) for path in paths[:64]]
    monkeypatch.undo()
    assert add_images(index, embedder, paths, {}) == AddReport(added=66, unchanged=64)
    assert sorted(entry.path for entry in index.entries()) == [str(path) for path in paths]


def test_so_many_files_are_read_at_a_time_and_the_index_is_the_same(
    index: Index, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_photos(tmp_path / "photos", 30)
    paths.insert(7, tmp_path / "gone.png")
    embedder = Embedder(tiny_bundle)
    load, together = embedder.load, threading.Barrier(3)

    def wait(source: bytes, name: str | None = None) -> np.ndarray:
        together.wait(10)  # broken unless three come here at a time
        return load(source, name)

    monkeypatch.setattr(embedder, "load", wait)
    report = add_images(index, embedder, paths, {}, jobs=3)
    assert (report.added, [path for path, _ in report.skipped]) == (30, [str(paths.pop(7))])
    assert [entry.path for entry in index.entries()] == [str(path) for path in paths]
    with Index.create(tmp_path / "other", tiny_bundle) as other:
        add_images(other, Embedder(tiny_bundle), paths, {}, jobs=1)
        np.testing.assert_array_equal(index._store.vectors()[1], other._store.vectors()[1])


def test_one_job_reads_in_the_callers_thread(
    index: Index, embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, load = set(), embedder.load

    def note(source: bytes, name: str | None = None) -> np.ndarray:
        threads.add(threading.get_ident())
        return load(source, name)

    monkeypatch.setattr(embedder, "load", note)
    add_images(index, embedder, write_photos(tmp_path / "photos", 5), {}, jobs=1)
    assert threads == {threading.get_ident()}


def test_less_than_one_job_is_refused(index: Index, embedder: Embedder) -> None:
    with pytest.raises(UsageError, match=r"^jobs: expected 1 or more, got 0$"):
        add_images(index, embedder, [], {}, jobs=0)


@pytest.mark.parametrize(
    ("cores", "memory_mb", "expected"),
    [(4, 427, 1), (4, 925, 1), (4, 3_800, 3), (4, 8_000, 4), (1, 64_000, 1), (2, None, 2)],
)
def test_a_job_takes_a_core_and_a_gigabyte(
    monkeypatch: pytest.MonkeyPatch, cores: int, memory_mb: int | None, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)

    def sysconf(name: str) -> int:
        if memory_mb is None:
            raise ValueError("unrecognized configuration name")
        return {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": memory_mb * 10**6 // 4096 + 1}[name]

    monkeypatch.setattr(os, "sysconf", sysconf)
    assert ingest.default_jobs() == expected


def test_a_label_that_is_not_utf_8(index: Index, embedder: Embedder) -> None:
    with pytest.raises(UsageError) as caught:
        add_images(index, embedder, [], {"line": "\udce9"})
    assert str(caught.value) == "the label 'line'='\\udce9' is not valid UTF-8"


def test_no_progress_bar_without_a_terminal(
    index: Index, embedder: Embedder, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    add_images(index, embedder, write_photos(tmp_path / "photos", 2), {}, progress=True)
    assert capfd.readouterr() == ("", "")


def test_the_search_graph_is_refreshed_at_the_end(
    tmp_path: Path, tiny_bundle: Bundle, embedder: Embedder
) -> None:
    with Index.create(tmp_path / "large", tiny_bundle, exact_limit=10) as index:
        add_images(index, embedder, write_photos(tmp_path / "photos", 12), {})
        assert index.stats()["graph"] == "fresh"
