"""`edgesim index add --keys`: an index made with torch by a run's encoder, and searched without torch."""

import json
from pathlib import Path

import pytest

from edgesim.bundle import Bundle
from edgesim.cli.main import main
from tests.export.small import SPEC, small_encoder, write_checkpoint
from tests.helpers import run_python, write_photos

Captured = pytest.CaptureFixture[str]

BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "tensorflow", "onnx"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
from edgesim.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with three photos in `photos` and the run `teacher`."""
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos", 3)
    write_checkpoint(tmp_path / "teacher")
    return tmp_path


@pytest.fixture
def arguments(here: Path, tiny_bundle: Bundle) -> list[str]:
    return ["index", "add", "parts", "photos", "--encoder", str(tiny_bundle.folder)]


def key_title() -> str:
    from edgesim.training.checkpoint import weights_sha256

    return f"small ({SPEC.encoder_id(weights_sha256(small_encoder()))})"


def test_made_with_torch_and_searched_without(
    here: Path, arguments: list[str], tiny_bundle: Bundle, capsys: Captured
) -> None:
    assert main([*arguments, "--keys", "teacher"]) == 0
    assert capsys.readouterr() == ("parts: 3 added, 0 updated, 0 unchanged, 0 skipped; 3 entries\n", "")
    query = run_python("-c", BLOCKED, "query", "parts", "photos/0001.png", "--json", cwd=here)
    assert (query.returncode, query.stderr) == (0, "")
    answer = json.loads(query.stdout)
    assert answer["encoder_id"] == tiny_bundle.encoder_id
    assert len(answer["queries"][0]["matches"]) == 3
    stats = run_python("-c", BLOCKED, "index", "stats", "parts", cwd=here)
    assert (stats.returncode, stats.stderr) == (0, "")
    assert stats.stdout.splitlines()[:4] == [
        "entries: 3",
        f"encoder: tiny-0 ({tiny_bundle.encoder_id}), 16 dimensions",
        f"key model: {key_title()}",
        f"bundle: {tiny_bundle.folder}",
    ]


def test_without_torch_nothing_is_made(here: Path, arguments: list[str]) -> None:
    result = run_python("-c", BLOCKED, *arguments, "--keys", "teacher", cwd=here)
    assert (result.returncode, result.stdout, result.stderr) == (
        6,
        "",
        "edgesim: edgesim index add --keys needs the package torch, which is not installed. "
        "Run: pip install 'edgesim[train]'\n",
    )
    assert not (here / "parts").exists()


def test_adding_without_the_keys_is_refused_and_loses_nothing(
    here: Path, arguments: list[str], tiny_bundle: Bundle, capsys: Captured
) -> None:
    main([*arguments, "--keys", "teacher"])
    before = (here / "parts" / "entries.sqlite3").read_bytes()
    write_photos(here / "photos", 1, start=3)
    capsys.readouterr()
    assert main(arguments) == 5
    assert capsys.readouterr() == (
        "",
        f"edgesim: parts: holds vectors of the key model {key_title()}, and those of the encoder "
        f"{tiny_bundle.title} cannot be mixed with them; pass --keys with the run of the first, or make "
        "a new index with the second\n",
    )
    assert (here / "parts" / "entries.sqlite3").read_bytes() == before
    assert main([*arguments, "--keys", "teacher/encoder.pt"]) == 0
    assert capsys.readouterr().out == "parts: 1 added, 0 updated, 3 unchanged, 0 skipped; 4 entries\n"


def test_keys_for_an_ordinary_index_are_refused(
    here: Path, arguments: list[str], tiny_bundle: Bundle, capsys: Captured
) -> None:
    main(arguments)
    capsys.readouterr()
    assert main([*arguments, "--keys", "teacher"]) == 5
    assert capsys.readouterr() == (
        "",
        f"edgesim: parts: holds vectors of the encoder {tiny_bundle.title}, and those of the key model "
        f"{key_title()} cannot be mixed with them; leave out --keys, or make a new index with the second\n",
    )


def test_no_such_run(here: Path, arguments: list[str], capsys: Captured) -> None:
    assert main([*arguments, "--keys", "none"]) == 4
    message = "none: no such file or folder, and not one of copy, similar; make a run with: edgesim train"
    assert capsys.readouterr() == ("", f"edgesim: {message}\n")
    assert not (here / "parts").exists()
