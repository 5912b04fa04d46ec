"""What a process did to the files below a folder, and what a power cut may have left of it.

`file_trace.c` records every call that changes a file or makes a change durable. From such a record the disk
can be made again as it was after any step; and as a power cut at that step may have left it, where what was
not synchronised is lost, all of it or any part:

- of a file, any of the writes since its last fsync, and of the last that is kept any 512-byte sectors;
- of a folder, the last changes of its names since its last fsync.
"""

from __future__ import annotations

import atexit
import ctypes
import dataclasses
import functools
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
SECTOR = 512


@functools.cache
def library() -> Path:
    """Compile the recorder; needs gcc or another C compiler, as hnswlib does."""
    folder = tempfile.mkdtemp(prefix="edgesim-file-trace-")
    atexit.register(shutil.rmtree, folder)
    path = Path(folder) / "file_trace.so"
    compiler = os.environ.get("CC", "cc")
    options = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *options, "-o", path, SOURCE, "-ldl", "-lpthread"], check=True)
    return path


def run_recorded(
    *arguments: str | Path, root: Path | None = None, log: Path | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run this Python in a process of its own, and record what it does below `root`; without, on demand."""
    place = {"FILE_TRACE_ROOT": str(root), "FILE_TRACE_LOG": str(log)} if root else {}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": str(SOURCE.parents[2]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LD_PRELOAD": str(library()),
            **place,
        },
        cwd=cwd,
    )


def start(root: Path, log: Path, steps: int = -1) -> None:
    """In a process that the recorder was preloaded into: begin a record, and die before step `steps` + 1."""
    ctypes.CDLL(None).file_trace_start(os.fsencode(root), os.fsencode(log), ctypes.c_long(steps))


def mark(text: str) -> None:
    """Put a mark into the record."""
    ctypes.CDLL(None).file_trace_mark(text.encode())


@dataclasses.dataclass(frozen=True)
class Step:
    """One call: `create`, `write`, `truncate`, `sync`, `unlink`, `rename`, `mkdir`, `rmdir` or `mark`."""

    call: str
    path: Path
    other: Path
    offset: int
    data: bytes


def read_log(log: Path) -> list[Step]:
    """Return the steps of a record, in order."""
    content, steps, position = log.read_bytes(), [], 0
    while position < len(content):
        end = content.index(b"\n", position)
        call, path, other, offset, length = content[position:end].decode().split("\t")
        position = end + 1
        data = content[position : position + int(length)]
        steps.append(Step(call, Path(path), Path(other), int(offset), data))
        position += len(data)
    return steps


class _File:
    """The content of a file: what is safe, and the changes since."""

    def __init__(self) -> None:
        self.safe = b""
        self.changes: list[Step] = []

    def sync(self) -> None:
        self.safe, self.changes = self.content(self.changes), []

    def content(self, changes: list[Step], torn: frozenset[int] | None = None) -> bytes:
        """Return the content with some changes; of the last, only the sectors named in `torn`, if given."""
        content = bytearray(self.safe)
        for number, change in enumerate(changes):
            last = torn is not None and number == len(changes) - 1
            if change.call == "truncate":
                content = content[: change.offset] + bytes(max(0, change.offset - len(content)))
                continue
            for start in range(0, len(change.data), SECTOR):
                if last and torn is not None and start // SECTOR not in torn:
                    continue
                offset, piece = change.offset + start, change.data[start : start + SECTOR]
                content += bytes(max(0, offset - len(content)))
                content[offset : offset + len(piece)] = piece
        return bytes(content)


Names = dict[Path, int]
# Path below the root -> content, None for a folder; folders come before what is in them.
Tree = dict[str, bytes | None]


class Disk:
    """A disk below one folder, as far as steps have come."""

    def __init__(self, root: Path, tree: Tree | None = None) -> None:
        """Begin with a tree, all of it synchronised."""
        self.files: list[_File | None] = [None]  # None: a folder
        self.names: Names = {root: 0}
        # Per folder, what its names were at its last fsync, and after each change since.
        self.history: dict[int, list[Names]] = {0: [{}]}
        for name, content in (tree or {}).items():
            self.apply(Step("create" if content is not None else "mkdir", root / name, root, 0, b""))
            if content is not None:
                self.apply(Step("write", root / name, root, 0, content))
        for path in list(self.names):
            self.apply(Step("sync", path, root, 0, b""))

    def apply(self, step: Step) -> None:
        """Go on by one step."""
        match step.call:
            case "create" | "mkdir":
                self.files.append(None if step.call == "mkdir" else _File())
                self.names[step.path] = len(self.files) - 1
                if step.call == "mkdir":
                    self.history[len(self.files) - 1] = [{}]
                self._changed(step.path)
            case "write" | "truncate":
                self._file(step.path).changes.append(step)
            case "sync":
                number = self.names[step.path]
                file = self.files[number]
                if file is not None:
                    file.sync()
                else:
                    self.history[number] = [self.history[number][-1]]
            case "unlink" | "rmdir":
                del self.names[step.path]
                self._changed(step.path)
            case "rename":
                self.names[step.other] = self.names.pop(step.path)
                self._changed(step.path)
                if step.other.parent != step.path.parent:
                    self._changed(step.other)
            case "mark":
                pass
            case call:
                raise AssertionError(call)

    def _file(self, path: Path) -> _File:
        file = self.files[self.names[path]]
        assert file is not None
        return file

    def _changed(self, path: Path) -> None:
        folder = self.names[path.parent]
        names = {Path(name.name): n for name, n in self.names.items() if name.parent == path.parent}
        self.history[folder].append(names)

    def tree(self) -> Tree:
        """Return what is there without a power cut: path -> content, None for a folder."""
        return self._tree(lambda names: names[-1], lambda file: file.content(file.changes))

    def after_power_cut(self, kind: str, chance: random.Random) -> Tree:
        """Return what a power cut may leave.

        Args:
            kind: `synced`: nothing that was not; `names`: all names, synced content; `contents`: synced
                names, all content; `some`: anything of each, by `chance`.
            chance: for `some`.
        """
        keep_names, keep_contents = kind == "names", kind == "contents"

        def choose_names(history: list[Names]) -> Names:
            if kind == "some":
                return chance.choice(history)
            return history[-1 if keep_names else 0]

        def choose_content(file: _File) -> bytes:
            if kind == "some":
                kept = [change for change in file.changes if chance.random() < 0.5]
                torn = None
                if kept and chance.random() < 0.5:
                    sectors = range(-(-len(kept[-1].data) // SECTOR))
                    torn = frozenset(n for n in sectors if chance.random() < 0.5)
                return file.content(kept, torn)
            return file.content(file.changes if keep_contents else [])

        return self._tree(choose_names, choose_content)

    def _tree(self, names: Callable[[list[Names]], Names], content: Callable[[_File], bytes]) -> Tree:
        tree: Tree = {}

        def visit(number: int, path: Path) -> None:
            for name, child in sorted(names(self.history[number]).items()):
                file = self.files[child]
                tree[str(path / name)] = None if file is None else content(file)
                if file is None:
                    visit(child, path / name)

        visit(0, Path())
        return tree


def write_tree(tree: Tree, folder: Path) -> Path:
    """Make a folder that holds a tree, in place of what is there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in tree.items():
        if content is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(content)
    return folder


def read_tree(folder: Path) -> Tree:
    """Return what is below a folder: path -> content, None for a folder."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }
