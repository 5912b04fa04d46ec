"""Cut the power before every single step of an update, and report what is then in use.

    python power_cut.py FOLDER install|first|rollback

FOLDER holds `start`, with the store before the update, if there is one, and the bundle `new`. A forked
process updates a copy of it and ends before its n-th call that changes the file system: once for every n
until the update comes through, when it ends right behind it; each time with one of these left on the disk:

    everything  what a killed process leaves
    no data     all names, but only the content that was synced, as with a journal of metadata
    synced      only contents and names that were synced
    full        no power cut: from the n-th call on there is no room for more

For each it prints, as JSON, what is in use, and what is after the next update.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path

from edgesim.errors import EdgesimError
from edgesim.runtime import updates
from edgesim.runtime.bundle_store import open_current
from edgesim.runtime.self_test import SelfTest

CHANGES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink"}
NEEDS_SPACE = {"open", "os.mkdir", "fsync"}
KINDS = ("everything", "no data", "synced", "full")


class Disk:
    """What a disk would hold if the power went now: contents and names, as of when each was synced last."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.contents: dict[int, bytes] = {}
        self.names: dict[int, dict[str, int]] = {}
        self.folders: set[int] = set()
        # Held open, so that no number is given to another file.
        self._held: list[int] = []
        for path in [root, *root.rglob("*")]:
            descriptor = os.open(path, os.O_RDONLY)
            self.sync(descriptor)
            os.close(descriptor)

    def sync(self, descriptor: int) -> None:
        facts = os.fstat(descriptor)
        self._held.append(os.dup(descriptor))
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if not stat.S_ISDIR(facts.st_mode):
            self.contents[facts.st_ino] = path.read_bytes()
            return
        self.folders.add(facts.st_ino)
        self.names[facts.st_ino] = {entry.name: entry.inode() for entry in os.scandir(path)}
        self.folders |= {entry.inode() for entry in os.scandir(path) if entry.is_dir()}

    def forget_data(self) -> None:
        """Leave every file that is there, with the content that was synced."""
        for path in self.root.rglob("*"):
            if path.is_file():
                path.write_bytes(self.contents.get(path.stat().st_ino, b""))

    def forget_all(self) -> None:
        """Leave what was synced."""
        number = self.root.stat().st_ino
        shutil.rmtree(self.root)
        self._restore(self.root, number)

    def _restore(self, path: Path, number: int) -> None:
        if number not in self.folders:
            path.write_bytes(self.contents.get(number, b""))
            return
        path.mkdir()
        for name, child in self.names.get(number, {}).items():
            self._restore(path / name, child)


class Power:
    """Counts the steps of this process, and goes at one of them."""

    def __init__(self, disk: Disk, step: int, kind: str) -> None:
        self.disk, self.step, self.kind = disk, step, kind
        self.steps = 0
        self.on = True

    def hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.on and event in CHANGES:
            flags = arguments[2] if event == "open" else os.O_WRONLY
            if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self.before(event)

    def fsync(self, descriptor: int) -> None:
        """In place of `os.fsync`; the true one takes its time."""
        self.before("fsync")
        self.on = False
        self.disk.sync(descriptor)
        self.on = True

    def before(self, event: str) -> None:
        self.steps += 1
        if self.steps < self.step:
            return
        if self.kind == "full":
            if event in NEEDS_SPACE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return
        self.cut()
        os._exit(9)

    def cut(self) -> None:
        self.on = False
        if self.kind == "no data":
            self.disk.forget_data()
        elif self.kind == "synced":
            self.disk.forget_all()


def passing(location: Path) -> SelfTest:
    return SelfTest(engine="none", engine_version="1", lowest_cosine=1.0)


def in_a_fork(action: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        action()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_use(store: Path) -> str:
    try:
        return open_current(store).spec.name
    except EdgesimError as error:
        return str(error)


def main() -> None:
    folder, scenario = Path(sys.argv[1]), sys.argv[2]
    store, error_file = folder / "work" / "store", folder / "error"
    updates.run_self_test = passing
    os.fsync = lambda descriptor: None

    def update() -> None:
        if scenario == "rollback":
            updates.rollback(store)
        else:
            updates.install(folder / "new", store)

    for kind in KINDS:
        for step in range(1, 1000):
            shutil.rmtree(folder / "work", ignore_errors=True)
            shutil.copytree(folder / "start", folder / "work")
            error_file.write_text("")

            def interrupted(kind: str = kind, step: int = step) -> None:
                power = Power(Disk(folder / "work"), step, kind)
                os.fsync = power.fsync
                sys.addaudithook(power.hook)
                message = ""
                try:
                    update()
                except EdgesimError as error:
                    message = f"{error.exit_status} {error}"
                power.cut()
                error_file.write_text(message or f"done in {power.steps}")

            status = in_a_fork(interrupted)
            result = {"step": step, "kind": kind, "status": status, "message": error_file.read_text()}
            result["left"] = in_use(store)
            result["versions"] = sorted(path.name for path in store.glob("versions/*"))
            in_a_fork(lambda: updates.install(folder / "new", store) and None)
            result["next"] = in_use(store)
            print(json.dumps(result))
            if result["message"].startswith("done"):
                break


if __name__ == "__main__":
    main()
