"""One of many programs on one index.

    python crowd.py FOLDER write NAME COMMITS
    python crowd.py FOLDER read COMMITS NAME...

The n-th commit of the writer NAME adds `/NAME/n` and replaces `/NAME/now`, whose label is n. A reader ends
when it has seen the last commit of every writer; two threads of it look, and each prints how many states it
saw.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from edgesim.runtime.index import Index
from edgesim.runtime.match import Match
from tests.helpers import DIM
from tests.runtime.index_entries import new_entry, unit_vectors

LIMIT = 20
QUERY = unit_vectors(1, seed=5)[0]


def vector(name: str, path: str, number: int) -> np.ndarray:
    """Return the vector (DIM,) that a writer stores at its n-th commit."""
    values = np.random.default_rng([ord(name), path.endswith("now"), number]).standard_normal(DIM)
    return (values / np.linalg.norm(values)).astype(np.float32)


def write(folder: Path, name: str, commits: int) -> None:
    with Index.open(folder, exact_limit=LIMIT) as index:
        for number in range(1, commits + 1):
            labels = {"n": str(number)}
            paths = (f"/{name}/{number}", f"/{name}/now")
            index.add([new_entry(path, vector(name, path, number), labels=labels) for path in paths])
            if number % 10 == 0:
                index.refresh_graph()


def check(matches: list[Match], names: list[str]) -> tuple[int, ...]:
    """Check that the matches are whole commits, and return the number of each writer's last."""
    state = tuple(
        max((int(m.labels["n"]) for m in matches if m.path.startswith(f"/{n}/")), default=0) for n in names
    )
    expected = {
        f"/{name}/{number}": str(number)
        for name, last in zip(names, state, strict=True)
        for number in range(1, last + 1)
    }
    expected |= {f"/{name}/now": str(last) for name, last in zip(names, state, strict=True) if last}
    assert {match.path: match.labels["n"] for match in matches} == expected, (state, matches)
    return state


def check_similarity(match: Match) -> None:
    stored = vector(match.path[1], match.path, int(match.labels["n"]))
    assert abs(match.similarity - float(stored @ QUERY)) < 1e-6, match


def read(folder: Path, commits: int, names: list[str]) -> int:
    """Look until the last commits are there; return how many states were seen."""
    seen: list[tuple[int, ...]] = [(0,) * len(names)]
    with Index.open(folder, read_only=True, exact_limit=LIMIT) as index:
        while seen[-1] != (commits,) * len(names):
            matches = index.search(QUERY, 1000)
            state = check(matches, names)
            assert all(now >= before for now, before in zip(state, seen[-1], strict=True)), (seen[-1], state)
            # Few are found through the graph, if there is one.
            for match in (*matches, *index.search(QUERY, 3)):
                check_similarity(match)
            seen.append(state)
    return len(set(seen))


def main() -> None:
    folder, action, *rest = sys.argv[1:]
    if action == "write":
        write(Path(folder), rest[0], int(rest[1]))
        return
    with ThreadPoolExecutor() as pool:
        for states in pool.map(lambda _: read(Path(folder), int(rest[0]), rest[1:]), range(2)):
            print(states)


if __name__ == "__main__":
    main()
