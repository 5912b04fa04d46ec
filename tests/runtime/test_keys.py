"""An asymmetric index: vectors of a key model, queries of the encoder, and nothing that would mix the two."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgesim.bundle import Bundle
from edgesim.errors import EncoderMismatchError, IndexStoreError, InputError, UsageError
from edgesim.model_spec import ModelSpec
from edgesim.preprocess import load_pixels
from edgesim.runtime.graph_cache import GraphCache
from edgesim.runtime.index import Index
from edgesim.runtime.ingest import AddReport
from edgesim.runtime.keys import KeyModel
from edgesim.runtime.matcher import Matcher
from edgesim.runtime.store import EntryStore
from tests.helpers import DIM, SIZE, TinyEncoder, photo, write_photos
from tests.runtime.index_entries import new_entries, unit_vectors


class Keys:
    """A key model: another tiny encoder than those of the bundles."""

    def __init__(self, seed: int = 7, dim: int = DIM) -> None:
        self.encoder = TinyEncoder(seed)
        self.spec = ModelSpec(name=f"keys-{seed}", input_size=SIZE, embedding_dim=dim)
        self.encoder_id = self.spec.encoder_id(f"seed {seed}")
        self.title = f"keys-{seed} ({self.encoder_id})"

    def load(self, source: bytes, /, name: str | None = None) -> np.ndarray:
        return load_pixels(source, SIZE, name)

    def embed_pixels(self, pixels: np.ndarray, /) -> np.ndarray:
        return np.stack([self.encoder.embed(image) for image in pixels]).astype(np.float32)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return write_photos(tmp_path / "photos", 6)


@pytest.fixture
def matcher(tmp_path: Path, tiny_bundle: Bundle) -> Iterator[Matcher]:
    with Matcher(tmp_path / "index", str(tiny_bundle.folder), create=True) as matcher:
        yield matcher


def stored(matcher: Matcher) -> np.ndarray:
    return matcher.index._store.vectors()[1]


def check_refused(matcher: Matcher, keys: Keys | None, message: str) -> None:
    """Adding is refused, and the index is as it was."""
    before = stored(matcher)
    with pytest.raises(EncoderMismatchError) as caught:
        matcher.add([Path("gone.png")], {"line": "9"}, keys=keys)
    assert str(caught.value) == message
    np.testing.assert_array_equal(stored(matcher), before)
    assert not any(entry.labels for entry in matcher.index.entries())


def test_vectors_come_from_the_key_model_and_queries_from_the_encoder(
    matcher: Matcher, photos: list[Path], tmp_path: Path
) -> None:
    assert matcher.add(photos, keys=Keys()) == AddReport(added=6)
    keys = np.stack([TinyEncoder(7).embed(photo(seed)) for seed in range(6)])
    np.testing.assert_allclose(stored(matcher), keys, atol=1e-6)
    with Matcher(tmp_path / "index", read_only=True) as reader:
        matches = {match.path: match.similarity for match in reader.query(photos[2], k=6)}
    cosines = keys @ TinyEncoder(0).embed(photo(2))
    assert matches == pytest.approx(dict(zip(map(str, photos), cosines, strict=True)), abs=1e-5)


def test_adding_goes_on_with_the_same_key_model(matcher: Matcher, photos: list[Path], tmp_path: Path) -> None:
    matcher.add(photos[:4], keys=Keys())
    assert matcher.index.facts.keys == KeyModel("keys-7", Keys().encoder_id)
    with Matcher(tmp_path / "index") as again:
        assert again.index.facts == matcher.index.facts
        assert again.add(photos, keys=Keys()) == AddReport(added=2, unchanged=4)


def test_the_encoders_own_vectors_are_refused_beside_keys(
    matcher: Matcher, photos: list[Path], tmp_path: Path, tiny_bundle: Bundle
) -> None:
    matcher.add(photos, keys=Keys())
    check_refused(
        matcher,
        None,
        f"{tmp_path}/index: holds vectors of the key model {Keys().title}, and those of the encoder "
        f"{tiny_bundle.title} cannot be mixed with them; pass --keys with the run of the first, or make a "
        "new index with the second",
    )


def test_another_key_model_is_refused(matcher: Matcher, photos: list[Path], tmp_path: Path) -> None:
    matcher.add(photos, keys=Keys())
    check_refused(
        matcher,
        Keys(8),
        f"{tmp_path}/index: holds vectors of the key model {Keys().title}, and those of the key model "
        f"{Keys(8).title} cannot be mixed with them; pass --keys with the run of the first, or make a new "
        "index with the second",
    )


def test_keys_are_refused_beside_the_encoders_own_vectors(
    matcher: Matcher, photos: list[Path], tmp_path: Path, tiny_bundle: Bundle
) -> None:
    matcher.add(photos)
    check_refused(
        matcher,
        Keys(),
        f"{tmp_path}/index: holds vectors of the encoder {tiny_bundle.title}, and those of the key model "
        f"{Keys().title} cannot be mixed with them; leave out --keys, or make a new index with the second",
    )


def test_a_key_model_of_another_size(
    matcher: Matcher, photos: list[Path], tmp_path: Path, tiny_bundle: Bundle
) -> None:
    keys = Keys(dim=512)
    with pytest.raises(UsageError) as caught:
        matcher.add(photos, keys=keys)
    assert str(caught.value) == (
        f"--keys: the key model {keys.title} gives 512 numbers, the encoder {tiny_bundle.title} 16; "
        "pass the key model that the encoder was trained on"
    )
    assert not (tmp_path / "index").exists()


def test_nothing_is_made_before_there_is_something_to_add(matcher: Matcher, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^gone\.png: no such file or folder$"):
        matcher.add([Path("gone.png")], keys=Keys())
    assert not (tmp_path / "index").exists()


def test_an_index_without_that_fact_is_an_ordinary_one(
    tmp_path: Path, tiny_bundle: Bundle, photos: list[Path]
) -> None:
    with Index.create(tmp_path / "index", tiny_bundle) as index:
        rows = dict(index._store._connection.execute("SELECT key, value FROM meta"))
        assert set(rows) == {
            "format_version",
            "encoder_id",
            "encoder_name",
            "embedding_dim",
            "spec",
            "bundle",
        }
        assert index.facts.keys is None
        assert (index.stats()["key_model"], index.stats()["key_model_id"]) == (None, None)
    with Matcher(tmp_path / "index") as matcher:
        assert matcher.add(photos) == AddReport(added=6)


def test_stats_name_the_key_model(tmp_path: Path, tiny_bundle: Bundle) -> None:
    with Index.create(tmp_path / "index", tiny_bundle, KeyModel.of(Keys())) as index:
        stats = index.stats()
    assert (stats["key_model"], stats["key_model_id"]) == ("keys-7", Keys().encoder_id)
    assert (stats["encoder"], stats["encoder_id"]) == ("tiny-0", tiny_bundle.encoder_id)


def test_half_of_the_fact_is_damage(tmp_path: Path, tiny_bundle: Bundle) -> None:
    with Index.create(tmp_path / "index", tiny_bundle, KeyModel.of(Keys())) as index:
        index._store._connection.execute("DELETE FROM meta WHERE key = 'key_model_name'")
    with pytest.raises(IndexStoreError, match="table meta: 'key_model_name'"):
        Index.open(tmp_path / "index")


def test_a_graph_of_other_keys_is_stale(tmp_path: Path, tiny_bundle: Bundle) -> None:
    for folder, keys in (("one", Keys()), ("two", Keys(8))):
        with Index.create(tmp_path / folder, tiny_bundle, KeyModel.of(keys), exact_limit=10) as index:
            index.add(new_entries(unit_vectors(20)))
            index.refresh_graph()
            assert index.stats()["graph"] == "fresh"
    for name in ("graph.hnsw", "graph.json"):
        (tmp_path / "one" / name).replace(tmp_path / "two" / name)
    store = EntryStore.open(tmp_path / "two", read_only=True)
    assert GraphCache(store.folder, store.facts).state(store.version()) == "stale"
    store.close()
