"""The same with edgesim's Python interface.

    python edgesim_api.py index STORE FOLDER
    python edgesim_api.py query STORE FOLDER

Needs: pip install 'edgesim[hnsw]'
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from edgesim.runtime.matcher import Matcher


def main(command: str, store: Path, folder: Path) -> None:
    if command == "index":
        with Matcher(store, create=True) as matcher:
            matcher.add([folder])
        return
    with Matcher(store, read_only=True) as matcher:
        photos = sorted(folder.glob("*.jpg"))
        print(json.dumps({photo.name: Path(matcher.query(photo, k=1)[0].path).name for photo in photos}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
