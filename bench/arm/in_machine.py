"""What runs in the whole machine, by the distribution's Python: a command, and what it takes.

    python3 in_machine.py NAME COMMAND...

One instruction is one nanosecond of the clock here, see `arm.machine`.
"""

from __future__ import annotations

import json
import os
import sys
import time


def available_kib() -> int:
    """Return MemAvailable of /proc/meminfo."""
    with open("/proc/meminfo") as lines:  # noqa: PTH123, each import counts
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))


def measured(command: list[str], interval: float | None) -> dict[str, float]:
    """Run a command, and look at the memory left every `interval` seconds of the guest's clock."""
    lowest = available_kib()
    start = time.perf_counter_ns()
    child = os.posix_spawn(command[0], command, os.environ)
    ended = 0
    while not ended:
        ended, status, usage = os.wait4(child, 0 if interval is None else os.WNOHANG)
        if not ended:
            lowest = min(lowest, available_kib())
            time.sleep(interval or 0)
    return {
        "instructions": time.perf_counter_ns() - start,
        "status": os.waitstatus_to_exitcode(status),
        "peak_kib": usage.ru_maxrss,
        "lowest_available_kib": lowest,
    }


def main() -> None:
    """Run the command three times: to warm up, counted, and with an eye on the memory."""
    name, *command = sys.argv[1:]
    before = available_kib()
    runs = [measured(command, interval) for interval in (None, None, 0.005)]
    print("measured", json.dumps({"name": name, "available_kib": before, "runs": runs}), flush=True)


if __name__ == "__main__":
    main()
