"""Matcher: index and encoder together, and which bundle it takes."""

import shutil
from pathlib import Path

import pytest

from edgesim.bundle import Bundle
from edgesim.errors import BundleError, EncoderMismatchError, ImageError, IndexStoreError, InputError
from edgesim.runtime.index import Index
from edgesim.runtime.ingest import AddReport
from edgesim.runtime.matcher import Matcher
from tests.helpers import TinyEncoder, photo, png, write_photos, write_tiny_bundle


def test_photos_in_matches_out(tmp_path: Path, tiny_bundle: Bundle) -> None:
    paths = write_photos(tmp_path / "photos", 12)
    with Matcher(tmp_path / "index", str(tiny_bundle.folder), create=True) as matcher:
        assert matcher.add([tmp_path / "photos"], {"line": "3"}) == AddReport(added=12)
        for seed, path in enumerate(paths):
            matches = matcher.query(path, k=12)
            assert (matches[0].path, matches[0].labels) == (str(path), {"line": "3"})
            query = TinyEncoder().embed(photo(seed))
            cosines = {str(p): float(query @ TinyEncoder().embed(photo(i))) for i, p in enumerate(paths)}
            assert {m.path: m.similarity for m in matches} == pytest.approx(cosines, abs=1e-5)
        assert matcher.query(png(photo(3)))[0].path == str(paths[3])
        assert len(matcher.query(paths[0])) == 5


def test_an_index_remembers_its_bundle(tmp_path: Path, tiny_bundle: Bundle) -> None:
    write_photos(tmp_path / "photos", 2)
    with Matcher(tmp_path / "index", str(tiny_bundle.folder), create=True) as matcher:
        matcher.add([tmp_path / "photos"])
    with Matcher(tmp_path / "index", read_only=True) as matcher:
        assert matcher.embedder.bundle.folder == tiny_bundle.folder
        assert len(matcher.query(tmp_path / "photos" / "0001.png", k=9)) == 2


def test_a_new_index_is_made_with_copy(tmp_path: Path, tiny_bundle: Bundle, builtin_bundles: None) -> None:
    write_photos(tmp_path / "photos", 1)
    with Matcher(tmp_path / "index", create=True) as matcher:
        matcher.add([tmp_path / "photos"])
        assert matcher.index.facts.bundle == "copy"
    with Matcher(tmp_path / "index", read_only=True) as matcher:
        assert matcher.embedder.bundle.folder == tiny_bundle.folder


def test_an_index_made_with_similar_is_reopened_with_it(
    tmp_path: Path, tiny_bundle: Bundle, other_bundle: Bundle, builtin_bundles: None
) -> None:
    write_photos(tmp_path / "photos", 1)
    with Matcher(tmp_path / "index", encoder="similar", create=True) as matcher:
        matcher.add([tmp_path / "photos"])
        assert matcher.index.facts.bundle == "similar"
    for read_only in (True, False):
        with Matcher(tmp_path / "index", read_only=read_only) as matcher:
            assert matcher.embedder.bundle.folder == other_bundle.folder
    with pytest.raises(EncoderMismatchError) as caught:
        Matcher(tmp_path / "index", encoder="copy")
    assert str(caught.value) == (
        f"{tmp_path}/index: made with similar, the encoder {other_bundle.title}, and copy holds the encoder "
        f"{tiny_bundle.title}, whose vectors cannot be compared; pass --encoder with the first, or make a "
        "new index with the second (they differ in weights)"
    )


def test_a_bundle_that_has_moved(tmp_path: Path, other_bundle: Bundle) -> None:
    write_photos(tmp_path / "photos", 1)
    bundle = write_tiny_bundle(tmp_path / "bundle")
    with Matcher(tmp_path / "index", str(bundle.folder), create=True) as matcher:
        matcher.add([tmp_path / "photos"])
    shutil.move(bundle.folder, tmp_path / "moved")
    with pytest.raises(BundleError) as caught:
        Matcher(tmp_path / "index")
    assert str(caught.value) == (
        f"{tmp_path}/index: made with the bundle {tmp_path}/bundle, which is gone; pass --encoder with a "
        f"bundle of the encoder tiny-0 ({bundle.encoder_id})"
    )
    with Matcher(tmp_path / "index", str(tmp_path / "moved")) as matcher:
        assert len(matcher.query(png(photo(0)))) == 1
    with pytest.raises(EncoderMismatchError, match=r"^.*/index: made with .*, the encoder tiny-0 "):
        Matcher(tmp_path / "index", str(other_bundle.folder))


def test_without_create_there_must_be_an_index(tmp_path: Path, tiny_bundle: Bundle) -> None:
    with pytest.raises(IndexStoreError, match="no index there; make one with: edgesim index add"):
        Matcher(tmp_path / "index", str(tiny_bundle.folder))


def test_nothing_is_made_before_there_is_something_to_add(tmp_path: Path, tiny_bundle: Bundle) -> None:
    with Matcher(tmp_path / "index", str(tiny_bundle.folder), create=True) as matcher:
        with pytest.raises(InputError, match=r"^none: no such file or folder$"):
            matcher.add([Path("none")])
        with pytest.raises(IndexStoreError, match=r"/index: nothing has been added to this index yet$"):
            matcher.query(png(photo(0)))
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_fails_its_self_test_stores_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle")
    golden = bundle.golden("onnx")
    monkeypatch.setattr(Bundle, "golden", lambda self, name: (golden[0], -golden[1]))
    with pytest.raises(BundleError, match=r"self-test failed, .* with a cosine of -1\.0000"):
        Matcher(tmp_path / "index", str(bundle.folder), create=True)
    assert not (tmp_path / "index").exists()


def test_an_image_that_cannot_be_decoded(tmp_path: Path, tiny_bundle: Bundle) -> None:
    with Index.create(tmp_path / "index", tiny_bundle):
        pass
    with (
        Matcher(tmp_path / "index") as matcher,
        pytest.raises(ImageError, match=r"^none\.png: no such file$"),
    ):
        matcher.query(Path("none.png"))
