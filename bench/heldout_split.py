"""List the images that training must not see, for `edgesim train --exclude`.

    python bench/heldout_split.py SETS [--industrial] > heldout.txt

SETS holds one folder an image set (bsds500, grocery, ...). Held out are all of bsds500, every grocery test
photo, and of clothing and of all the rest the CLOTHING and OTHERS images whose path has the lowest SHA-256: a
choice that nobody made, the same wherever it is made. bench/copy_detection/benchmark.toml says what they
serve for. With --industrial, all images of the sets of industrial surfaces as well.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from edgesim.files import find_images

CLOTHING = 900
OTHERS = 6_500
INDUSTRIAL = ("neu_det", "elpv", "kolektor", "casting")


class HeldOut(NamedTuple):
    """Paths relative to the root of the image sets; `tests` are grocery's, `others` of all other sets."""

    references: list[str]
    others: list[str]
    tests: list[str]
    clothing: list[str]


def by_hash(names: Iterable[str]) -> list[str]:
    """Return the names ordered by their SHA-256."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())


def image_names(root: Path) -> list[str]:
    """Return the paths, relative to `root`, of the images below it."""
    return [path.relative_to(root).as_posix() for path in find_images([root])]


def of_set(names: Iterable[str], *sets: str) -> list[str]:
    """Return the names whose first folder is one of `sets`."""
    return [name for name in names if name.partition("/")[0] in sets]


def heldout(root: Path) -> HeldOut:
    """Return what training must not see."""
    return split(image_names(root))[0]


def split(names: list[str]) -> tuple[HeldOut, list[str]]:
    """Return what is held out of the names, and the rest, ordered by hash."""
    references = of_set(names, "bsds500")
    tests = [name for name in of_set(names, "grocery") if "__test__" in name]
    clothing = by_hash(of_set(names, "clothing"))[:CLOTHING]
    rest = by_hash(set(names) - {*references, *tests, *clothing})
    return HeldOut(references, rest[:OTHERS], tests, clothing), rest[OTHERS:]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", type=Path)
    parser.add_argument("--industrial", action="store_true")
    args = parser.parse_args()
    names = image_names(args.sets)
    listed = [name for part in split(names)[0] for name in part]
    if args.industrial:
        listed += of_set(names, *INDUSTRIAL)
    print("\n".join(dict.fromkeys(listed)))


if __name__ == "__main__":
    main()
