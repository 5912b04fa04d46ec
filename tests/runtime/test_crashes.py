"""Whatever a killed process or a power cut leaves: the index opens at the last commit, nothing lost or added.

EDGESIM_POWER_CUTS sets how many random outcomes of a power cut are tried at each step, by default 2.
"""

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgesim.bundle import Bundle
from edgesim.runtime.database import exists
from edgesim.runtime.index import Index
from edgesim.runtime.verify import verify_index
from tests.helpers import ROOT
from tests.runtime import file_trace
from tests.runtime.commits import COMMITS, LIMIT, VECTORS, check_search, content_after, read_content
from tests.runtime.file_trace import Disk, Step, Tree, read_log, read_tree, write_tree
from tests.runtime.index_entries import new_entry

RANDOM_CUTS = int(os.environ.get("EDGESIM_POWER_CUTS", "2"))
CONTENTS = [content_after(commits) for commits in range(len(COMMITS) + 1)]


@pytest.fixture(scope="module")
def killed(memory: Path, tiny_bundle: Bundle) -> Path:
    """What `crash_driver.py` leaves."""
    driver = Path(__file__).with_name("crash_driver.py")
    result = file_trace.run_recorded(driver, memory, tiny_bundle.folder)
    assert result.stderr == ""
    return memory


def acknowledged(steps: list[Step]) -> int:
    """Return how many commits had returned, -1 if not even the creation of the index had."""
    return max((int(step.path.name) for step in steps if step.call == "mark"), default=-1)


def check(folder: Path, commits: int, *, go_on: bool) -> None:
    """Check an index after so many commits had returned: each is there, and at most the next one too."""
    if commits < 0 and not exists(folder):
        return
    with Index.open(folder, read_only=True, exact_limit=LIMIT) as index:
        content = read_content(index)
        assert content in CONTENTS[max(0, commits) : commits + 2]
        check_search(index, content)
    assert verify_index(folder).damage == []
    if go_on:
        with Index.open(folder, exact_limit=LIMIT) as index:
            index.add([new_entry("/new.png", VECTORS[11])])
            index.refresh_graph()
            content.put("/new.png", VECTORS[11])
            assert read_content(index) == content
            check_search(index, content)
        assert verify_index(folder).damage == []


def test_a_process_killed_at_any_step_loses_nothing(killed: Path) -> None:
    kills = sorted((killed / "kills").iterdir(), key=lambda folder: int(folder.name))
    assert len(kills) > 200
    for folder in kills:
        steps = read_log(folder / "log")
        assert sum(step.call != "mark" for step in steps) == int(folder.name)
        # The record is complete: it leads to what is there.
        disk = Disk(folder / "disk")
        for step in steps:
            disk.apply(step)
        assert disk.tree() == read_tree(folder / "disk")
        check(folder / "disk" / "new" / "index", acknowledged(steps), go_on=True)


def power_cuts(disk: Disk, steps: list[Step]) -> Iterator[tuple[int, Tree]]:
    """Yield what a power cut before each step may leave, and how many steps came before; nothing twice."""
    chance, tried = random.Random(0), set()
    for number, step in enumerate(steps):
        for kind in ("synced", "names", "contents", *["some"] * RANDOM_CUTS):
            tree = disk.after_power_cut(kind, chance)
            case = (acknowledged(steps[:number]), *tree.items())
            if case not in tried:
                tried.add(case)
                yield number, tree
        disk.apply(step)


def test_a_power_cut_at_any_step_loses_nothing(killed: Path) -> None:
    steps, tried = read_log(killed / "whole" / "log"), 0
    for number, tree in power_cuts(Disk(killed / "whole" / "disk"), steps):
        folder = write_tree(tree, killed / "cut") / "new" / "index"
        tried += 1
        check(folder, acknowledged(steps[:number]), go_on=tried % 8 == 0)
    assert tried > 300


def test_a_power_cut_during_a_migration_loses_nothing(memory: Path) -> None:
    root = memory / "old"
    shutil.copytree(ROOT / "tests" / "golden" / "index_v1", root / "index")
    with Index.open(root / "index", read_only=True) as index:
        before = read_content(index)
    disk, log = Disk(root, read_tree(root)), memory / "migration"
    migrate = "import sys; from pathlib import Path; from edgesim.runtime.index import Index; "
    result = file_trace.run_recorded(
        "-c", migrate + "Index.open(Path(sys.argv[1]))", root / "index", root=root, log=log
    )
    assert (result.returncode, result.stderr) == (0, "")
    versions = []
    for _, tree in power_cuts(disk, read_log(log)):
        folder = write_tree(tree, memory / "cut") / "index"
        with Index.open(folder, read_only=True) as index:
            assert read_content(index) == before
        versions.append(verify_index(folder).format_version)
    assert disk.tree() == read_tree(root)
    # Half of a migration is undone.
    assert set(versions) == {1, 2}
    assert versions.count(1) > 40
    assert verify_index(root / "index").format_version == 2
