"""A few commits to an index, and what is in it after each: kept by hand, in a dictionary."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgesim.bundle import Bundle
from edgesim.runtime.index import Index
from edgesim.runtime.selection import LabelChange, Selection
from tests.runtime.index_entries import new_entry, unit_vectors

# Above it the commits below keep a graph.
LIMIT = 4
VECTORS = unit_vectors(16)


@dataclasses.dataclass
class Content:
    """What is in an index: path -> vector and labels; settings."""

    entries: dict[str, tuple[bytes, dict[str, str]]] = dataclasses.field(default_factory=dict)
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)

    def put(self, path: str, vector: np.ndarray, **labels: str) -> None:
        self.entries[path] = (vector.astype("<f4").tobytes(), labels)


def add_first(index: Index) -> None:
    index.add([new_entry(f"/p/{i}.png", VECTORS[i], labels={"line": str(i)}) for i in range(3)])


def put_first(content: Content) -> None:
    for i in range(3):
        content.put(f"/p/{i}.png", VECTORS[i], line=str(i))


def change(index: Index) -> None:
    index.add(
        [new_entry("/p/1.png", VECTORS[9]), new_entry("/p/2.png", None, mtime_ns=7, labels={"part": "x"})]
    )


def put_changes(content: Content) -> None:
    content.put("/p/1.png", VECTORS[9], line="1")
    content.put("/p/2.png", VECTORS[2], line="2", part="x")


def add_more(index: Index) -> None:
    index.add([new_entry(f"/q/{i}.png", VECTORS[i]) for i in range(3, 8)])
    # No commit, but many steps.
    index.refresh_graph()


def put_more(content: Content) -> None:
    for i in range(3, 8):
        content.put(f"/q/{i}.png", VECTORS[i])


def set_setting(index: Index) -> None:
    index.set_setting("note", {"lower": 0.5})


def put_setting(content: Content) -> None:
    content.settings["note"] = {"lower": 0.5}


def remove(index: Index) -> None:
    index.remove(["/p/0.png"])
    index.refresh_graph()


def put_removed(content: Content) -> None:
    del content.entries["/p/0.png"]


def add_one(index: Index) -> None:
    index.add([new_entry("/r.png", VECTORS[10], labels={"line": "3"})])
    index.refresh_graph()


def put_one(content: Content) -> None:
    content.put("/r.png", VECTORS[10], line="3")


def relabel(index: Index) -> None:
    folder = LabelChange(selection=Selection.of(["/p"]), labels={"checked": "yes"}, removed=["line"])
    index.label([folder, LabelChange(selection=Selection.of(where="line=3"), labels={"part": "y"})])


def put_relabelled(content: Content) -> None:
    content.put("/p/1.png", VECTORS[9], checked="yes")
    content.put("/p/2.png", VECTORS[2], part="x", checked="yes")
    content.put("/r.png", VECTORS[10], line="3", part="y")


def remove_folder(index: Index) -> None:
    index.remove(["/q"])
    # No commit, but many steps.
    index.compact()


def put_folder_removed(content: Content) -> None:
    for path in [path for path in content.entries if path.startswith("/q/")]:
        del content.entries[path]


COMMITS: list[tuple[Callable[[Index], None], Callable[[Content], None]]] = [
    (add_first, put_first),
    (change, put_changes),
    (add_more, put_more),
    (set_setting, put_setting),
    (remove, put_removed),
    (add_one, put_one),
    (relabel, put_relabelled),
    (remove_folder, put_folder_removed),
]


def content_after(commits: int) -> Content:
    """Return what is in an index after so many of the commits."""
    content = Content()
    for _, put in COMMITS[:commits]:
        put(content)
    return content


def work(folder: Path, bundle: Bundle, done: Callable[[int], None]) -> None:
    """Make an index and all commits; `done` is called with their number when each has returned."""
    with Index.create(folder, bundle, exact_limit=LIMIT) as index:
        done(0)
        for number, (commit, _) in enumerate(COMMITS, 1):
            commit(index)
            done(number)


def read_content(index: Index) -> Content:
    """Return what is in an index, as it says itself."""
    ids, vectors = index.vectors()
    bytes_of = {int(i): vector.tobytes() for i, vector in zip(ids, vectors, strict=True)}
    entries = {entry.path: (bytes_of[entry.entry_id], entry.labels) for entry in index.entries()}
    return Content(entries, {name: index.setting(name) for name in index._store.settings()})


def check_search(index: Index, content: Content) -> None:
    """Compare an answer with all cosines."""
    query = VECTORS[15]
    expected = {
        path: float(np.frombuffer(vector, "<f4") @ query) for path, (vector, _) in content.entries.items()
    }
    matches = index.search(query, max(1, len(expected)))
    assert {match.path for match in matches} == set(expected)
    for match in matches:
        assert abs(match.similarity - expected[match.path]) < 1e-6
        assert match.labels == content.entries[match.path][1]
    selected = {
        path
        for path, (_, labels) in content.entries.items()
        if labels.get("line") not in ("0", "3") or "part" in labels
    }
    where = "not line in (0, 3) or has part"
    assert {match.path for match in index.search(query, len(expected) + 1, where)} == selected
