"""Explaining a match: its maps, margin, and files that are no longer what was added."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edgesim.bundle import Bundle
from edgesim.errors import ImageError, InputError, UsageError
from edgesim.occlusion import occlusion_map
from edgesim.runtime.calibration import calibrate_index
from edgesim.runtime.explain import explain_match
from edgesim.runtime.matcher import Matcher
from tests.helpers import TinyEncoder, photo, png, write_photos
from tests.runtime.known_photos import embedded, photo_index


@pytest.fixture
def index(tmp_path: Path, tiny_bundle: Bundle) -> Path:
    (tmp_path / "query.png").write_bytes(png(photo(77)))
    return photo_index(tmp_path, tiny_bundle, 4)


def embed(pixels: np.ndarray) -> np.ndarray:
    return np.stack([TinyEncoder().embed(one) for one in pixels]).astype(np.float32)


@pytest.mark.parametrize("rank", [1, 3])
def test_by_hand(index: Path, rank: int) -> None:
    with Matcher(index, read_only=True) as matcher:
        found = explain_match(matcher, index.parent / "query.png", rank)
    query = TinyEncoder().embed(photo(77))
    cosines = embedded(range(4)) @ query
    order = np.argsort(-cosines)
    best = int(order[rank - 1])
    assert (found.match.path, found.rank, found.normalised) == (
        f"{index.parent}/photos/{best:04d}.png",
        rank,
        False,
    )
    assert found.similarity == pytest.approx(cosines[best], abs=1e-5)
    assert found.margin == pytest.approx(cosines[best] - cosines[order[rank]], abs=1e-5)
    assert len(found.matches) == rank + 1
    target = TinyEncoder().embed(photo(best)).astype(np.float32)
    np.testing.assert_allclose(found.query_map, occlusion_map(embed, photo(77), target), atol=1e-4)
    np.testing.assert_allclose(
        found.entry_map, occlusion_map(embed, photo(best), query.astype(np.float32)), atol=1e-4
    )
    np.testing.assert_array_equal(found.entry, photo(best))


def test_the_last_has_no_margin(index: Path) -> None:
    with Matcher(index, read_only=True) as matcher:
        assert explain_match(matcher, index.parent / "query.png", 4).margin is None
        with pytest.raises(InputError) as caught:
            explain_match(matcher, index.parent / "query.png", 5)
        assert str(caught.value) == (
            f"{index}: expected 5 entries at least, as match 5 is to be explained, got 4"
        )
        with pytest.raises(UsageError, match=r"^the match to explain must be 1 at least, got 0$"):
            explain_match(matcher, index.parent / "query.png", 0)


def test_normalised_scores_are_told(index: Path) -> None:
    write_photos(index.parent / "background", 2, start=500)
    with Matcher(index) as matcher:
        calibrate_index(matcher, background=index.parent / "background")
        found = explain_match(matcher, index.parent / "query.png")
    assert found.normalised
    assert found.match == dataclasses.replace(found.match, verdict=None)
    assert found.match.score != found.match.similarity


def test_the_matchs_file_must_be_what_was_added(index: Path) -> None:
    query = index.parent / "photos" / "0002.png"
    with Matcher(index, read_only=True) as matcher:
        query.write_bytes(png(photo(2)[:16]))
        with pytest.raises(InputError) as caught:
            explain_match(matcher, index.parent / "photos" / "0002.png")
        rest = f"bring it up to date with: edgesim index add {index} PATH"
        assert str(caught.value).endswith(f"has changed since it was added; {rest}")
        (index.parent / "query.png").write_bytes(png(photo(2)))
        query.unlink()
        with pytest.raises(InputError) as caught:
            explain_match(matcher, index.parent / "query.png")
        assert str(caught.value) == (
            f"{query}: the match's file cannot be read (No such file or directory); put it back, or remove "
            f"it from the index with: edgesim index remove {index} PATH"
        )


def test_a_query_that_cannot_be_decoded(index: Path) -> None:
    with (
        Matcher(index, read_only=True) as matcher,
        pytest.raises(ImageError, match=r"^none.png: no such file$"),
    ):
        explain_match(matcher, Path("none.png"))
