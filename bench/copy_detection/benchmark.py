"""What the copy benchmark asks: its parts, from any folder of images, and the pictures of their queries.

    python -m copy_detection.benchmark ROOT      in bench/, says in Markdown what it consists of

benchmark.toml says how many images play which part. In a ROOT with the image sets that heldout_split.py
knows, each pool is a set that training does not see; in any other folder the pools are runs of one list
ordered by hash, in the same proportions. Everything follows from the file's seed and the images' paths.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from heldout_split import by_hash, image_names, split
from PIL import Image

from copy_detection.edits import apply_edits, draw_stack
from edgesim.errors import EdgesimError, InputError
from edgesim.preprocess import decode_image

SETTINGS = Path(__file__).with_suffix(".toml")
# The pool of images that training may use; the background is its beginning. Canvases end the pool of others.
_TRAINING, _OTHERS = "training", "others"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PartSettings:
    """Images by pool: `sources` are the first of `references`, `no_match` the first that are none.

    Every source gets each of `edits`, or `per_depth` stacks of each of `depths`; every no-match image one.
    """

    references: dict[str, int]
    sources: dict[str, int]
    no_match: dict[str, int]
    edits: Sequence[str] = ()
    depths: Sequence[int] = ()
    per_depth: int = 1


@dataclasses.dataclass(frozen=True)
class Settings:
    """See benchmark.toml."""

    seed: int
    background: int
    canvases: int
    parts: dict[str, PartSettings]

    def needed(self) -> dict[str, int]:
        """Return how many images each pool must have."""
        pools: Counter[str] = Counter()
        for part in self.parts.values():
            pools |= Counter(part.references) + Counter(part.no_match)
        pools[_OTHERS] += self.canvases
        pools[_TRAINING] = self.background
        return dict(pools)

    def smallest(self) -> int:
        """Return the smallest number of images that a pool gives to a role."""
        roles = [
            role for part in self.parts.values() for role in (part.references, part.sources, part.no_match)
        ]
        return min(self.background, self.canvases, *(count for role in roles for count in role.values()))


@dataclasses.dataclass(frozen=True)
class Query:
    """An edited copy, as it is to be made.

    Attributes:
        source: path of the image that is edited.
        edits: names of edits of copy_detection.edits, in order.
        seed: their only source of chance.
        canvas: path of the picture that a copy may be laid onto.
        reference: number of the source among the part's references, None where it is not one of them.
        label: what the results of its kind are filed under: the edit, or the depth of the stack.
    """

    source: str
    edits: tuple[str, ...]
    seed: int
    canvas: str
    reference: int | None
    label: str


@dataclasses.dataclass(frozen=True)
class Part:
    """References, as paths relative to the root, and queries."""

    references: tuple[str, ...]
    queries: tuple[Query, ...]

    def truth(self) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        """Return the true pairs of query and reference, (T, 2)."""
        found = [(i, query.reference) for i, query in enumerate(self.queries) if query.reference is not None]
        return np.array(found, dtype=np.int64).reshape(-1, 2)


@dataclasses.dataclass(frozen=True)
class Plan:
    """All of the benchmark. `used` says of which images it was made; `fixed` if it was the image sets."""

    parts: dict[str, Part]
    background: tuple[str, ...]
    canvases: tuple[str, ...]
    used: str
    fixed: bool


def read_settings(path: Path = SETTINGS) -> Settings:
    """Read benchmark.toml."""
    values = tomllib.loads(path.read_text())
    parts = {name: PartSettings(**of) for name, of in values.pop("parts").items()}
    return Settings(**values, parts=parts)


def make_plan(root: Path, settings: Settings | None = None) -> Plan:
    """Return the benchmark on the images below a folder. Raises `InputError` if they are too few."""
    settings = settings or read_settings()
    names = image_names(root)
    needed = settings.needed()
    pools = _set_pools(names)
    fixed = all(len(pools[pool]) >= count for pool, count in needed.items())
    total, found = sum(needed.values()), len(names)
    if not fixed:
        lowest = math.ceil(total / settings.smallest())
        if found < lowest:
            raise InputError(
                f"{root}: {found} images, too few for the benchmark; it needs {lowest} at least, and {total} "
                "for its full size"
            )
        settings = _scaled(settings, min(found, total), total)
        needed = settings.needed()
        pools = _cut(by_hash(names), needed)
    kind = "the image sets" if fixed else "one list of images, without regard to sets"
    return _plan(settings, pools, needed, f"{sum(needed.values())} of {found} images, from {kind}", fixed)


def _plan(
    settings: Settings, pools: dict[str, list[str]], needed: dict[str, int], used: str, fixed: bool
) -> Plan:
    canvases = tuple(pools[_OTHERS][needed[_OTHERS] - settings.canvases : needed[_OTHERS]])
    parts = {
        name: _part(part, pools, canvases, f"{settings.seed} {name}") for name, part in settings.parts.items()
    }
    return Plan(parts, tuple(pools[_TRAINING][: settings.background]), canvases, used, fixed)


def _set_pools(names: list[str]) -> dict[str, list[str]]:
    """Return the pools of the image sets, each ordered by hash."""
    held, rest = split(names)
    return {
        "natural": by_hash(held.references),
        _OTHERS: held.others,
        "products": by_hash(held.tests),
        "garments": held.clothing,
        _TRAINING: rest,
    }


def _scaled(settings: Settings, found: int, total: int) -> Settings:
    """Return the settings with every number of images multiplied by found / total, rounded down."""

    def fewer(counts: dict[str, int]) -> dict[str, int]:
        return {pool: count * found // total for pool, count in counts.items()}

    parts = {
        name: dataclasses.replace(
            part,
            references=fewer(part.references),
            sources=fewer(part.sources),
            no_match=fewer(part.no_match),
        )
        for name, part in settings.parts.items()
    }
    roles = {"background": settings.background, "canvases": settings.canvases}
    return dataclasses.replace(settings, parts=parts, **fewer(roles))


def _cut(names: list[str], needed: dict[str, int]) -> dict[str, list[str]]:
    """Return each pool as the next run of the names."""
    left = iter(names)
    return {pool: [next(left) for _ in range(count)] for pool, count in needed.items()}


def _part(part: PartSettings, pools: dict[str, list[str]], canvases: Sequence[str], key: str) -> Part:
    references = [name for pool, count in part.references.items() for name in pools[pool][:count]]
    rows = {name: row for row, name in enumerate(references)}
    queries = []
    for pool, count in part.sources.items():
        for source in pools[pool][:count]:
            queries += [_query(source, *kind, canvases, rows[source], key) for kind in _kinds(part)]
    kinds = list(_kinds(part))
    unmatched: list[str] = []
    for pool, count in part.no_match.items():
        start = part.references.get(pool, 0)
        unmatched += pools[pool][start : start + count]
    for number, source in enumerate(unmatched):
        queries.append(_query(source, *kinds[number % len(kinds)], canvases, None, key))
    return Part(tuple(references), tuple(queries))


def _kinds(part: PartSettings) -> Iterator[tuple[str, int, int]]:
    """Yield what every source is made into: an edit and depth 0, or a label, a depth and its turn."""
    for edit in part.edits:
        yield edit, 0, 0
    for turn in range(part.per_depth):
        for depth in part.depths:
            yield f"depth {depth}", depth, turn


def _query(
    source: str, label: str, depth: int, turn: int, canvases: Sequence[str], reference: int | None, key: str
) -> Query:
    digest = hashlib.sha256(f"{key} {source} {label} {turn}".encode()).digest()
    seed = int.from_bytes(digest[:6], "big")
    rng = np.random.default_rng((seed, 0))
    canvas = canvases[rng.integers(len(canvases))]
    edits = draw_stack(depth, rng) if depth else (label,)
    return Query(source, edits, seed, canvas, reference, label)


@functools.lru_cache(maxsize=600)
def load_picture(path: Path) -> Image.Image:
    """Decode an image; those used last are kept, as one source makes many queries."""
    return decode_image(path)


def query_picture(root: Path, query: Query) -> Image.Image:
    """Make the edited copy, an RGB picture."""
    rng = np.random.default_rng(query.seed)
    return apply_edits(load_picture(root / query.source), query.edits, rng, load_picture(root / query.canvas))


def describe(plan: Plan) -> str:
    """Return in Markdown what the plan consists of."""
    lines = [f"{plan.used}; background of {len(plan.background)}, canvases {len(plan.canvases)}"]
    for name, part in plan.parts.items():
        pairs = len(part.truth())
        lines.append(
            f"- {name}: {len(part.references)} references, {pairs} copies, "
            f"{len(part.queries) - pairs} queries without a match"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        print(describe(make_plan(Path(sys.argv[1]))))
    except EdgesimError as error:
        sys.exit(str(error))
