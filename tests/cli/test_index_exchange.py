"""`edgesim index export`, `import` and `merge`: what they print."""

import json
from pathlib import Path

import pytest

from edgesim.bundle import Bundle
from edgesim.cli.main import main
from edgesim.runtime.index import Index
from tests.runtime.index_entries import new_entry, unit_vectors

Captured = pytest.CaptureFixture[str]


def test_export_import_and_merge(parts: Path, here: Path, tiny_bundle: Bundle, capsys: Captured) -> None:
    with Index.open(parts) as index:
        index.add([new_entry("/more.png", unit_vectors(1)[0])])
    for file, option in (("parts.npz", []), ("parts.h5", ["--unchecked"])):
        new = file.replace(".", "-")
        assert main(["index", "export", "parts", file]) == 0
        assert main(["index", "import", new, file, "--encoder", str(tiny_bundle.folder), *option]) == 0
        assert main(["index", "merge", new, "parts"]) == 0
        replaced = 4 if option else 0
        assert capsys.readouterr() == (
            f"{file}: 4 entries of parts\n"
            f"{new}: 4 added, 0 replaced, 0 kept as they were\n"
            f"{new}: 0 added, {replaced} replaced, {4 - replaced} kept as they were\n",
            "",
        )
        assert main(["query", new, "photos/0001.png", "-k", "1", "--json"]) == 0
        match = json.loads(capsys.readouterr().out)["queries"][0]["matches"][0]
        assert match["path"] == f"{here}/photos/0001.png"
    assert main(["index", "import", "parts", "parts.h5"]) == 2
    assert capsys.readouterr().err.startswith("edgesim: parts.h5: does not say which encoder made it; ")
