"""Hashes as vectors, and the scoring of queries in several versions, against plain loops."""

from types import SimpleNamespace

import numpy as np
from copy_detection import hashes
from copy_detection.scores import embed_all, predict_versions, scores


def test_bits_become_vectors_whose_product_is_the_hamming_distance():
    bits = np.random.default_rng(0).integers(0, 2, (5, 64))
    vectors = hashes.bit_vectors(bits)
    distance = (bits[:, None] != bits[None]).sum(axis=2)
    np.testing.assert_allclose(vectors @ vectors.T, 1 - 2 * distance / 64, atol=1e-6)


def unit(rng, *shape):
    rows = rng.standard_normal(shape).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def check_versions(background):
    rng = np.random.default_rng(1)
    queries, references = unit(rng, 3, 6, 8), unit(rng, 40, 8)
    similarities = np.einsum("vnd,rd->vnr", queries, references)
    if background is not None:
        offset = np.sort(np.einsum("vnd,bd->vnb", queries, background), axis=2)[..., -3:].mean(axis=2)
        similarities = similarities - offset[..., None]
    best = similarities.max(axis=0)
    found = predict_versions(queries, references, background)
    for query in range(6):
        ours = found.queries == query
        expected = np.argsort(-best[query])[:10]
        assert found.references[ours].tolist() == expected.tolist()
        np.testing.assert_allclose(found.scores[ours], best[query, expected], atol=1e-5)


def test_the_best_of_a_querys_versions_counts():
    check_versions(None)


def test_normalised_scores_are_normalised_before_the_best_is_taken():
    check_versions(unit(np.random.default_rng(2), 9, 8))


def test_recall_is_counted_by_label():
    queries = np.eye(4, dtype=np.float32)[None]
    references = np.eye(4, dtype=np.float32)[[0, 1, 3, 2]]
    part = SimpleNamespace(
        truth=lambda: np.array([[0, 0], [1, 1], [2, 2]]),
        queries=[SimpleNamespace(label=label) for label in ("crop", "grey", "grey", "crop")],
    )
    row = scores(part, queries, references, np.eye(4, dtype=np.float32))
    assert row["recall_at_1_by"] == {"crop": 1.0, "grey": 0.5}
    assert row["recall_at_1"] == round(2 / 3, 4)
    assert set(row["normalised"]) == {"micro_ap", "recall_at_p90"}


def test_pictures_are_shown_to_every_encoder_in_order():
    class Encoder:
        def __init__(self, factor):
            self.factor = factor

        def embed(self, pictures):
            return np.array([[self.factor * picture] for picture in pictures], np.float32)

        def embed_queries(self, pictures):
            return np.stack([self.embed(pictures), -self.embed(pictures)])

    encoders = [Encoder(1), Encoder(2)]
    plain = embed_all(range(150), 150, encoders, "", queries=False)
    np.testing.assert_array_equal(plain[1][:, 0], 2 * np.arange(150))
    versions = embed_all(range(150), 150, encoders, "", queries=True)
    np.testing.assert_array_equal(versions[0][1, :, 0], -np.arange(150))
