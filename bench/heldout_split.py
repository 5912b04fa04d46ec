"""List the images that training must not see, for `edgesim train --exclude`.

    python bench/heldout_split.py SETS > heldout.txt

SETS holds one folder an image set (bsds500, grocery, ...). Held out are all of bsds500 (the references of
the copy benchmark), every grocery test photo (the queries of the kind benchmark), and the DISTRACTORS other
images whose path has the lowest SHA-256: a choice that nobody made, the same wherever it is made.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from edgesim.files import find_images

DISTRACTORS = 5_000


def heldout(root: Path) -> tuple[list[str], list[str], list[str]]:
    """Return the references, the distractors and the grocery test photos, as paths relative to `root`."""
    names = [path.relative_to(root).as_posix() for path in find_images([root])]
    references = [name for name in names if name.startswith("bsds500/")]
    tests = [name for name in names if name.startswith("grocery/") and "__test__" in name]
    others = sorted(
        set(names) - set(references) - set(tests), key=lambda name: hashlib.sha256(name.encode()).hexdigest()
    )
    return references, others[:DISTRACTORS], tests


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for part in heldout(Path(sys.argv[1])):
        print("\n".join(part))
