"""Why an index answered a query as it did: which regions of the two pictures agree, and who came next."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from PIL import Image

from edgesim.errors import InputError, UsageError
from edgesim.metrics import FloatArray
from edgesim.occlusion import occlusion_map
from edgesim.preprocess import decode_image, load_pixels
from edgesim.runtime.match import Match
from edgesim.runtime.matcher import Matcher

# Pixels of the shorter side that pictures for people are decoded to at least.
_SHOWN = 480


@dataclasses.dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why a match is one.

    Attributes:
        matches: the answers to the query, best first, up to the next after the one that is explained.
        rank: of the one that is explained, from 1.
        similarity: of the two pictures, by the encoder. That of the index's answer, but where its vectors
            come from a key model.
        normalised: whether the scores of the matches are, so that they differ from the similarities.
        query: the query's picture.
        entry: the match's picture.
        query_map, entry_map: how much the similarity falls when a region is hidden, see `occlusion_map`.
    """

    matches: list[Match]
    rank: int
    similarity: float
    normalised: bool
    query: Image.Image
    entry: Image.Image
    query_map: FloatArray
    entry_map: FloatArray

    @property
    def match(self) -> Match:
        """The match that is explained."""
        return self.matches[self.rank - 1]

    @property
    def margin(self) -> float | None:
        """How much more similar the match is than the next candidate; None if there is none."""
        if len(self.matches) == self.rank:
            return None
        return self.match.similarity - self.matches[self.rank].similarity


def explain_match(matcher: Matcher, image: Path, rank: int = 1) -> Explanation:
    """Look an image up and explain one of its matches; takes about 200 embeddings.

    Args:
        matcher: index and encoder.
        image: file of the query.
        rank: which match to explain, 1 for the best.

    Raises:
        ImageError: the query cannot be decoded.
        UsageError: the rank is below 1.
        InputError: the index has fewer entries than `rank`, or the match's file is gone or has changed.
    """
    if rank < 1:
        raise UsageError(f"the match to explain must be 1 at least, got {rank}")
    matches = matcher.query(image, rank + 1)
    if len(matches) < rank:
        raise InputError(
            f"{matcher.index.folder}: expected {rank} entries at least, as match {rank} is to be explained, "
            f"got {len(matches)}"
        )
    entry_file = _unchanged_file(matcher, matches[rank - 1])
    size, embed = matcher.embedder.bundle.spec.input_size, matcher.embedder.embed_pixels
    pixels = [load_pixels(file, size) for file in (image, entry_file)]
    vectors = [embed(one[None])[0] for one in pixels]
    return Explanation(
        matches=matches,
        rank=rank,
        similarity=float(vectors[0] @ vectors[1]),
        normalised=matcher.scoring is not None and matcher.scoring.background is not None,
        query=decode_image(image, min_side=_SHOWN),
        entry=decode_image(entry_file, min_side=_SHOWN),
        query_map=occlusion_map(embed, pixels[0], vectors[1]),
        entry_map=occlusion_map(embed, pixels[1], vectors[0]),
    )


def _unchanged_file(matcher: Matcher, match: Match) -> bytes:
    """Return the content of the file that was added to the index."""
    entry = matcher.index.find(match.path)
    try:
        content = Path(match.path).read_bytes()
    except OSError as error:
        raise InputError(
            f"{match.path}: the match's file cannot be read ({error.strerror}); put it back, or remove it "
            f"from the index with: edgesim index remove {matcher.index.folder} PATH"
        ) from error
    if entry is None or hashlib.sha256(content).hexdigest() != entry.sha256:
        raise InputError(
            f"{match.path}: has changed since it was added; bring it up to date with: "
            f"edgesim index add {matcher.index.folder} PATH"
        )
    return content
