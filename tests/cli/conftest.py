"""A folder with photos, and an index of them, for the tests of `edgesim index`."""

from pathlib import Path

import pytest

from edgesim.bundle import Bundle
from edgesim.cli.main import main
from tests.helpers import write_photos

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with three photos in `photos`."""
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos", 3)
    return tmp_path


@pytest.fixture
def parts(here: Path, tiny_bundle: Bundle, capsys: Captured) -> Path:
    """An index `parts` with the three photos."""
    assert main(["index", "add", "parts", "photos", "--encoder", str(tiny_bundle.folder)]) == 0
    capsys.readouterr()
    return here / "parts"
