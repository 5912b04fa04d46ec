"""The self-test of a bundle in a process of its own: an engine that crashes there takes nobody along.

python -P -m edgesim.runtime.self_test BUNDLE
"""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path

from edgesim.errors import BundleError, EdgesimError, MissingDependencyError

# A Raspberry Pi Zero 2 W takes seconds. Our choice.
TIMEOUT_S = 300
# -P: nothing is imported from the working directory, which may be a stranger's memory stick.
COMMAND = (sys.executable, "-P", "-m", "edgesim.runtime.self_test")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelfTest:
    """A self-test that was passed: by which engine, and the lowest cosine with the golden embeddings."""

    engine: str
    engine_version: str
    lowest_cosine: float


def run_self_test(location: Path) -> SelfTest:
    """Open a bundle, or a store, in a new process and recompute its golden embeddings.

    Raises:
        BundleError: the bundle is refused or damaged, the embeddings differ, the process crashed or hung.
        MissingDependencyError: no engine is installed that fits.
    """
    try:
        # An absolute path cannot be taken for the name of a built-in encoder.
        done = subprocess.run(
            [*COMMAND, str(location.absolute())],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise BundleError(f"{location}: self-test failed, it took longer than {TIMEOUT_S} s") from error
    except OSError as error:
        raise BundleError(f"{location}: self-test failed, it cannot be started ({error.strerror})") from error
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise BundleError(f"{location}: self-test failed, the inference engine crashed with {name}")
    if done.returncode > 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        missing = done.returncode == MissingDependencyError.exit_status
        raise (MissingDependencyError if missing else BundleError)(reason)
    return SelfTest(**json.loads(done.stdout.splitlines()[-1]))


def main() -> int:
    """Run the self-test here; print its result as JSON, or what is wrong; return the exit status."""
    from edgesim.runtime.embedder import Embedder, open_bundle

    try:
        embedder = Embedder(open_bundle(sys.argv[1]))
        lowest = embedder.self_test()
    except EdgesimError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    result = SelfTest(engine=embedder.engine, engine_version=embedder.engine_version, lowest_cosine=lowest)
    print(json.dumps(dataclasses.asdict(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
