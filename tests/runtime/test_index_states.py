"""Any order of changes and reads, against a dictionary: a writer and a reader, with and without a graph."""

import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from edgesim.bundle import Bundle
from edgesim.errors import InputError
from edgesim.runtime.index import Index
from edgesim.runtime.repair import repair_index
from edgesim.runtime.selection import LabelChange, Selection
from edgesim.runtime.verify import verify_index
from tests.runtime.commits import Content, check_search, read_content
from tests.runtime.index_entries import new_entry, unit_vectors

LIMIT = 6
VECTORS = unit_vectors(64, seed=3)
PATHS = [f"/{folder}/{name}.png" for folder in ("a", "b") for name in range(8)]
paths = st.sampled_from(PATHS)
labels = st.dictionaries(st.sampled_from(["line", "part"]), st.sampled_from(["", "3", "ä=b"]))
numbers = st.integers(0, len(VECTORS) - 1)


class IndexMachine(RuleBasedStateMachine):
    """One program writes, another reads; now and then they change places or open the index anew."""

    bundle: Bundle
    parent: Path

    @initialize()
    def create(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=self.parent)) / "index"
        self.content, self.ids, self.last_id = Content(), {}, 0
        self.writer = Index.create(self.folder, self.bundle, exact_limit=LIMIT)
        self.reader = Index.open(self.folder, read_only=True, exact_limit=LIMIT)

    @rule(changes=st.dictionaries(paths, st.tuples(numbers, labels), min_size=1, max_size=8))
    def add(self, changes: dict[str, tuple[int, dict[str, str]]]) -> None:
        entries = []
        for path, (number, more) in changes.items():
            entries.append(new_entry(path, VECTORS[number], labels=more))
            self.content.put(path, VECTORS[number], **{**self.labels_of(path), **more})
        self.writer.add(entries)

    def labels_of(self, path: str) -> dict[str, str]:
        return self.content.entries[path][1] if path in self.content.entries else {}

    @rule(path=paths, more=labels)
    def label(self, path: str, more: dict[str, str]) -> None:
        self.writer.add([new_entry(path, None, labels=more, mtime_ns=7)])
        if path in self.content.entries:
            vector, old = self.content.entries[path]
            self.content.entries[path] = (vector, {**old, **more})

    @rule(path=paths)
    def remove(self, path: str) -> None:
        if path in self.content.entries:
            del self.content.entries[path]
            assert self.writer.remove([path]) == 1
        else:
            with pytest.raises(InputError):
                self.writer.remove([path])

    @rule(more=labels, gone=st.sets(st.sampled_from(["line", "part"])))
    def relabel_by_filter(self, more: dict[str, str], gone: set[str]) -> None:
        change = LabelChange(selection=Selection.of(where="part=3"), labels=more, removed=gone)
        changed = 0
        for path, (vector, old) in self.content.entries.items():
            if old.get("part") == "3":
                new = {key: value for key, value in old.items() if key not in gone} | more
                changed += new != old
                self.content.entries[path] = (vector, new)
        assert self.writer.label([change]) == changed

    @rule()
    def compact(self) -> None:
        self.writer.compact()

    @rule()
    def remove_folder(self) -> None:
        gone = [path for path in self.content.entries if path.startswith("/a/")]
        if gone:
            assert self.writer.remove(["/a"]) == len(gone)
        for path in gone:
            del self.content.entries[path]

    @rule(value=st.none() | st.integers() | st.dictionaries(st.text(max_size=3), st.floats(0, 1)))
    def set_setting(self, value: object) -> None:
        self.writer.set_setting("note", value)
        self.content.settings = {} if value is None else {"note": value}

    @rule(completely=st.booleans())
    def refresh_graph(self, completely: bool) -> None:
        self.writer.refresh_graph(completely=completely)
        if len(self.content.entries) <= LIMIT:
            assert self.reader.stats()["graph"] == "not needed"
        else:
            assert self.reader.stats()["graph"] in (("fresh",) if completely else ("fresh", "behind"))

    @rule()
    def rebuild_graph(self) -> None:
        assert self.writer.rebuild_graph() == (len(self.content.entries) > LIMIT)

    @rule()
    def open_anew(self) -> None:
        self.writer.close()
        self.reader.close()
        self.reader = Index.open(self.folder, read_only=True, exact_limit=LIMIT)
        self.writer = Index.open(self.folder, self.bundle, exact_limit=LIMIT)

    @rule()
    def another_program_writes_now(self) -> None:
        other = Index.open(self.folder, exact_limit=LIMIT)
        self.writer.close()
        self.writer = other

    @precondition(lambda self: self.content.entries)
    @rule()
    def repair(self) -> None:
        out = self.folder.with_name("repaired")
        shutil.rmtree(out, ignore_errors=True)
        repair = repair_index(self.folder, out)
        assert (repair.saved, repair.lost, repair.unnamed) == (len(self.content.entries), [], 0)
        with Index.open(out) as index:
            assert read_content(index) == self.content

    @rule()
    def verify(self) -> None:
        assert verify_index(self.folder).damage == []

    @invariant()
    def both_see_all_that_was_committed(self) -> None:
        for index in (self.writer, self.reader):
            assert read_content(index) == self.content
            assert len(index) == len(self.content.entries)
            check_search(index, self.content)
        for entry in self.reader.entries():
            # An id names one path with one content, and is never given again.
            vector = self.content.entries[entry.path][0]
            known = self.ids.setdefault(entry.entry_id, (entry.path, vector))
            assert known == (entry.path, vector)

    def teardown(self) -> None:
        self.writer.close()
        self.reader.close()
        shutil.rmtree(self.folder.parent)


def test_any_order_of_changes_and_reads(
    memory: Path, tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("CRITICAL")
    # Of 16 entries at most, so many that a graph is often behind.
    monkeypatch.setattr("edgesim.runtime.index.LAG_SHARE", 0.5)
    IndexMachine.bundle, IndexMachine.parent = tiny_bundle, memory
    run_state_machine_as_test(
        IndexMachine,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
