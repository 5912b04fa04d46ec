"""Every file of an index and a bundle, cut off, with flipped bytes, zeroed, another's: told or harmless.

EDGESIM_FLIPS sets how many bytes are flipped, one at a time, in each file; by default 500.
"""

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgesim.bundle import Bundle
from edgesim.errors import BundleError, EdgesimError
from edgesim.runtime.index import Index
from edgesim.runtime.repair import repair_index
from edgesim.runtime.verify import verify_index
from tests.runtime.commits import LIMIT, VECTORS, Content, check_search, read_content
from tests.runtime.index_entries import new_entry

FLIPS = int(os.environ.get("EDGESIM_FLIPS", "500"))
pytestmark = pytest.mark.usefixtures("quiet")
INDEX_FILES = ("entries.sqlite3", "graph.hnsw", "graph.json", "entries.sqlite3-journal")
BUNDLE_FILES = ("manifest.json", "model.onnx", "golden.npz", "model_card.md")
CONTENT = Content(settings={"note": {"lower": 0.5, "upper": 0.75}})
for number in range(12):
    CONTENT.put(f"/photos/{number:02d}.png", VECTORS[number], line=str(number % 3))


def make_index(folder: Path, bundle: Bundle, order: list[int]) -> Path:
    """Make an index with a graph, and with pages that are free again."""
    with Index.create(folder, bundle, exact_limit=LIMIT) as index:
        index.add([new_entry(f"/gone/{number}.png", VECTORS[14]) for number in range(6)])
        index.remove(["/gone"])
        for number in order:
            labels = {"line": str(number % 3)}
            index.add([new_entry(f"/photos/{number:02d}.png", VECTORS[number], labels=labels)])
        index.set_setting("note", CONTENT.settings["note"])
        index.refresh_graph()
    return folder


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Leave out the thousands of lines that say why a search is exact."""
    caplog.set_level("CRITICAL")


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Bundle) -> Path:
    return make_index(tmp_path_factory.mktemp("intact") / "index", tiny_bundle, list(range(12)))


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Bundle) -> Path:
    """An index that differs from `intact` only in which vector has which id."""
    return make_index(tmp_path_factory.mktemp("another") / "index", tiny_bundle, list(range(11, -1, -1)))


@pytest.fixture
def folder(tmp_path: Path, intact: Path) -> Path:
    return Path(shutil.copytree(intact, tmp_path / "index"))


def damages(content: bytes, flips: int) -> Iterator[bytes]:
    """Yield a file cut off at every fiftieth, with a flipped byte, and with zeros."""
    for part in range(50):
        yield content[: len(content) * part // 50]
    chance = random.Random(0)
    for _ in range(flips):
        damaged = bytearray(content)
        damaged[chance.randrange(len(content))] ^= chance.randrange(1, 256)
        yield bytes(damaged)
    yield bytes(len(content))
    for start in range(0, len(content), 512):
        yield content[:start] + bytes(len(content[start : start + 512])) + content[start + 512 :]


def told(error: EdgesimError, folder: Path) -> bool:
    """Check that an error is one line about this index."""
    assert str(error).startswith(f"{folder}: ")
    assert "\n" not in str(error)
    return True


def read(folder: Path) -> bool:
    """Return whether the index was read, all of it as it was; False if it said what is wrong."""
    try:
        with Index.open(folder, read_only=True, exact_limit=LIMIT) as index:
            assert read_content(index) == CONTENT
            check_search(index, CONTENT)
            assert index.stats()["labels"] == {"line": {"entries": 12, "values": 3}}
            assert len(index) == 12
    except EdgesimError as error:
        return not told(error, folder)
    return True


def write(folder: Path) -> bool:
    """Return whether the index was written to, and holds what it should."""
    content = Content(dict(CONTENT.entries), CONTENT.settings)
    content.put("/photos/03.png", VECTORS[3], line="0", part="x")
    content.put("/new.png", VECTORS[12])
    known = new_entry("/photos/03.png", None, labels={"part": "x"})
    try:
        with Index.open(folder, exact_limit=LIMIT) as index:
            index.add([known, new_entry("/new.png", VECTORS[12])])
            index.refresh_graph()
            assert read_content(index) == content
            check_search(index, content)
    except EdgesimError as error:
        return not told(error, folder)
    return True


def check_repair(folder: Path, out: Path) -> None:
    """Check that what is saved is true, and that nothing is lost in silence."""
    shutil.rmtree(out, ignore_errors=True)
    try:
        repair = repair_index(folder, out)
    except EdgesimError as error:
        told(error, folder)
        return
    with Index.open(out) as index:
        saved = read_content(index)
    assert saved.entries.items() <= CONTENT.entries.items()
    assert len(saved.entries) == repair.saved
    assert {lost.path for lost in repair.lost}.isdisjoint(saved.entries)
    assert repair.unnamed is None or repair.saved + len(repair.lost) + repair.unnamed >= 12
    assert saved.settings == CONTENT.settings or repair.lost_settings
    assert verify_index(out).damage == []


def check_damage(folder: Path, out: Path, *, thoroughly: bool) -> tuple[bool, bool]:
    """Return whether the damaged index could be read, and whether the damage was found."""
    could_be_read = read(folder)
    try:
        found = bool(verify_index(folder).damage)
    except EdgesimError as error:
        found = told(error, folder)
    assert could_be_read or found
    if thoroughly:
        check_repair(folder, out)
        write(folder)
    return could_be_read, found


@pytest.mark.parametrize("name", INDEX_FILES)
def test_a_damaged_file_of_an_index_is_told_or_harmless(folder: Path, intact: Path, name: str) -> None:
    flips = 50 if name.endswith("journal") else FLIPS
    outcomes = []
    for number, content in enumerate(damages((intact / name).read_bytes(), flips)):
        for file in intact.iterdir():
            shutil.copyfile(file, folder / file.name)
        (folder / name).write_bytes(content)
        outcomes.append(check_damage(folder, folder.with_name("saved"), thoroughly=number % 8 == 0))
    read_although, found = (sum(outcome) for outcome in zip(*outcomes, strict=True))
    if name == "entries.sqlite3":
        # There are bytes that nothing depends on, in pages that are free again.
        assert min(read_although, found) > 0.3 * len(outcomes)
    else:
        assert read_although == len(outcomes)
        # Of the graph's facts some bytes only make it stale; of an idle journal none means anything.
        least = {"graph.hnsw": 1.0, "graph.json": 0.8}.get(name, 0.0)
        assert found >= least * (len(outcomes) - 1)


@pytest.mark.parametrize("name", INDEX_FILES)
def test_another_index_s_file_is_told_or_harmless(
    folder: Path, intact: Path, another: Path, name: str
) -> None:
    # Same encoder, same number of commits, same ids: only the vectors tell.
    shutil.copyfile(another / name, folder / name)
    assert read(folder)
    assert write(folder)


def test_both_files_of_another_index_s_graph_are_not_taken_for_its_own(folder: Path, another: Path) -> None:
    for name in ("graph.hnsw", "graph.json"):
        shutil.copyfile(another / name, folder / name)
    with Index.open(folder, read_only=True, exact_limit=LIMIT) as index:
        assert index.stats()["graph"] == "stale"
    assert read(folder)
    assert write(folder)


@pytest.mark.parametrize("name", BUNDLE_FILES)
def test_a_damaged_file_of_a_bundle_is_told(
    tmp_path: Path, tiny_bundle: Bundle, other_bundle: Bundle, name: str
) -> None:
    folder = Path(shutil.copytree(tiny_bundle.folder, tmp_path / "bundle"))
    content = (folder / name).read_bytes()
    other = (other_bundle.folder / name).read_bytes()
    for damaged in (*damages(content, FLIPS), *([other] if other != content else [])):
        (folder / name).write_bytes(damaged)
        with pytest.raises(BundleError) as caught:
            Bundle.load(folder)
        assert str(caught.value).startswith(f"{folder}")
        assert "\n" not in str(caught.value)
    (folder / name).write_bytes(content)
    assert Bundle.load(folder).encoder_id == tiny_bundle.encoder_id
