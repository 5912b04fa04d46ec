"""Processes to measure in: fresh ones, which may die of an engine that was built for another CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from edgesim.machine import failure

# Above the time that is asked for: a Raspberry Pi Zero 2 W takes seconds to start. Our choice.
_STARTING_S = 120


class ChildError(Exception):
    """The process ended with an error or was killed; the message is its last line."""


def start_python(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a Python that runs `code` with arguments; `finish` waits for it."""
    # Found wherever this process found edgesim, installed or not. -P: and nowhere else.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # Or an installed edgesim would be compiled in its installation, and this one anew in every process.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finish(process: subprocess.Popen[str], seconds: float = 0.0) -> Any:
    """Wait for a process; return the value that it printed as JSON in its last line.

    Args:
        process: of `start_python`.
        seconds: how long it measures.

    Raises:
        ChildError: it failed, or hangs.
    """
    with process:
        try:
            output, errors = process.communicate(timeout=seconds * 2 + _STARTING_S)
        except subprocess.TimeoutExpired as error:
            raise ChildError("no answer") from error
        finally:
            process.kill()  # after a time-out or Ctrl-C; one that has ended does not notice
    problem = failure(process.returncode, errors)
    if problem is not None:
        raise ChildError(problem)
    return json.loads(output.splitlines()[-1])
