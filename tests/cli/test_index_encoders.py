"""Which encoder and engine `edgesim index add` takes, and which it refuses."""

import json
import shutil
from pathlib import Path

import pytest

from edgesim.bundle import Bundle
from edgesim.cli.main import main

Captured = pytest.CaptureFixture[str]


def test_an_index_made_by_another_encoder(
    parts: Path, tiny_bundle: Bundle, other_bundle: Bundle, capsys: Captured
) -> None:
    message = (
        f"edgesim: parts: made with {tiny_bundle.folder}, the encoder {tiny_bundle.title}, and "
        f"{other_bundle.folder} holds the encoder {other_bundle.title}, whose vectors cannot be compared; "
        "pass --encoder with the first, or make a new index with the second (they differ in weights)\n"
    )
    for arguments in (["index", "add", "parts", "photos"], ["query", "parts", "photos/0000.png"]):
        assert main([*arguments, "--encoder", str(other_bundle.folder)]) == 5
        assert capsys.readouterr() == ("", message)


def test_an_unknown_encoder(here: Path, capsys: Captured) -> None:
    assert main(["index", "add", "new", "photos", "--encoder", "simlar"]) == 4
    message = "simlar: no such folder, and not one of copy, similar; make a bundle with: edgesim export"
    assert capsys.readouterr() == ("", f"edgesim: {message}\n")
    assert not Path("new").exists()


def test_a_built_in_name_wins_over_a_folder(
    here: Path, tiny_bundle: Bundle, other_bundle: Bundle, builtin_bundles: None, capsys: Captured
) -> None:
    shutil.copytree(other_bundle.folder, "copy")
    for index, encoder, remembered in (("one", "copy", "copy"), ("other", "./copy", str(here / "copy"))):
        assert main(["index", "add", index, "photos", "--encoder", encoder]) == 0
        capsys.readouterr()
        assert main(["index", "stats", index, "--json"]) == 0
        stats = json.loads(capsys.readouterr().out)
        made_by = tiny_bundle if encoder == "copy" else other_bundle
        assert (stats["bundle"], stats["encoder_id"]) == (remembered, made_by.encoder_id)


def test_an_index_of_similar_goes_on_with_it_and_refuses_copy(
    here: Path, tiny_bundle: Bundle, other_bundle: Bundle, builtin_bundles: None, capsys: Captured
) -> None:
    assert main(["index", "add", "seen", "photos", "--encoder", "similar"]) == 0
    assert main(["index", "add", "seen", "photos"]) == 0
    capsys.readouterr()
    assert main(["query", "seen", "photos/0000.png", "-k", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["encoder_id"] == other_bundle.encoder_id
    message = (
        f"edgesim: seen: made with similar, the encoder {other_bundle.title}, and copy holds the encoder "
        f"{tiny_bundle.title}, whose vectors cannot be compared; pass --encoder with the first, or make a "
        "new index with the second (they differ in weights)\n"
    )
    for arguments in (["index", "add", "seen", "photos"], ["query", "seen", "photos/0000.png"]):
        assert main([*arguments, "--encoder", "copy"]) == 5
        assert capsys.readouterr() == ("", message)


def test_an_unknown_engine(parts: Path, capsys: Captured) -> None:
    assert main(["index", "add", "parts", "photos", "--engine", "lite-rt"]) == 2
    assert capsys.readouterr() == ("", "edgesim: unknown engine 'lite-rt'; did you mean 'litert'?\n")
