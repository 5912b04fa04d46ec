"""A whole emulated machine with a Raspberry Pi Zero 2 W's memory: kit installed, 100,000 vectors searched.

    python bench/bench_arm_machine.py [--kit FOLDER] [--cache FOLDER] [--mib 512] [--entries 100000]

Needs what scripts/arm-check installs, and qemu-system-arm, cpio and e2fsprogs. The index is made on this
machine, graph and all. Ends with status 1 if an answer is wrong or the kernel ran out of memory. The result
goes to bench/results/arm/machine.json.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arm.kit import make_kit
from arm.machine import USER_PACKAGES, boot
from arm.pictures import write_camera_picture
from arm.root import unpacked_root
from arm.setting import ENCODER, describe_emulation, option_parser, say
from arm.vectors import FIRST_PATH, write_index
from harness import markdown_table, write_result

from edgesim.runtime.embedder import Embedder, open_bundle

PROFILE, CPU = "pi-zero-2w", "cortex-a53"
# What the user types, in the machine.
_INSTALL = "sh /job/kit/install.sh --prefix /opt/edgesim"
_COMMANDS = {
    "verify": "bundle verify /opt/edgesim/bundle",
    "query": "query /job/index /job/camera.jpg --encoder /opt/edgesim/bundle -k 1",
}


def job_script() -> str:
    """Return the shell script that the machine runs."""
    measured = [
        f"/usr/bin/python3.11 /job/in_machine.py {name} /opt/edgesim/bin/edgesim {arguments}"
        for name, arguments in _COMMANDS.items()
    ]
    return "\n".join(["set -e", "grep -E 'MemTotal|MemAvailable' /proc/meminfo", _INSTALL, *measured, ""])


def read_lines(lines: list[str]) -> dict[str, Any]:
    """Return what the machine's lines say: memory, measurements, answers, and how it ended."""
    found: dict[str, Any] = {"answers": 0, "measured": {}}
    for line in lines:
        key, _, rest = line.partition(" ")
        if key in ("MemTotal:", "MemAvailable:"):
            found[f"{key[3:-1].lower()}_kib"] = int(rest.split()[0])
        elif key == "measured":
            one = json.loads(rest)
            found["measured"][one.pop("name")] = one
        elif key in ("status", "killed"):
            found[key] = int(rest)
        elif line.split()[1:4] == ["1", "1.0000", FIRST_PATH]:
            found["answers"] += 1
    return found


def run(work: Path, cache: Path, kit: Path | None, mib: int, entries: int) -> dict[str, Any]:
    root = unpacked_root(cache, "bookworm", "arm64", USER_PACKAGES)
    kit = kit or make_kit(ENCODER, PROFILE, work / "kit")
    camera = write_camera_picture(work / "camera.jpg")
    bundle = open_bundle(ENCODER)
    index = write_index(work / "index", bundle, entries, Embedder(bundle, "litert").embed_image(camera))
    say(f"index of {entries} entries made")
    program = Path(__file__).with_name("arm") / "in_machine.py"
    job: dict[str, Path | str] = {
        "kit": kit,
        "index": index,
        "camera.jpg": camera,
        program.name: program,
        "run": job_script(),
    }
    lines = []
    for line in boot(work, cache, root, job, CPU, mib):
        say(line)
        lines.append(line)
    return {"machine": describe_emulation(), "cpu": CPU, "mib": mib, "entries": entries, **read_lines(lines)}


def report(result: Mapping[str, Any]) -> str:
    """Return the measurements as a table in Markdown."""
    header = ["command", "M instructions", "peak, MiB", "memory available before, MiB", "and at least, MiB"]
    rows = [
        [
            name,
            f"{of['runs'][1]['instructions'] / 1e6:.0f}",
            f"{of['runs'][1]['peak_kib'] / 1024:.0f}",
            f"{of['available_kib'] / 1024:.0f}",
            f"{of['runs'][2]['lowest_available_kib'] / 1024:.0f}",
        ]
        for name, of in result["measured"].items()
    ]
    return markdown_table(header, rows)


def main() -> int:
    parser = option_parser(__doc__, PROFILE)
    parser.add_argument("--mib", type=int, default=512, help="memory of the machine")
    parser.add_argument("--entries", type=int, default=100_000, help="vectors in the index")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        result = run(Path(work), args.cache, args.kit, args.mib, args.entries)
    print(report(result))
    passed = (result.get("status"), result.get("killed"), result["answers"]) == (0, 0, 3)
    if passed:
        write_result("arm/machine", result)
    say("answered" if passed else "failed")
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main())
