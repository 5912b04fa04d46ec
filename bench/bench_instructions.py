"""How many instructions one inference takes on the Arm cores of the Raspberry Pi, under QEMU.

    python bench/bench_instructions.py [--cache FOLDER]     needs Debian's qemu-user, mmdebstrap and gcc

Counted: the networks of which latencies on boards are published, in the engines that these were measured in
(LiteRT's kernels are XNNPACK's), and architectures of edgesim's own. Weights are random: they do not change
what is executed. The counts go to firmware_profiles/latency/instructions.toml, by which `edgesim profiles`
estimates.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib.metadata
import tempfile
from collections import defaultdict
from importlib import resources
from pathlib import Path

from arm.cores import ARM64_CORES, Core
from arm.counting import build_plugin, run_counted, spans
from arm.engines import engine_packages, unpacked_packages
from arm.guest import Guest, emulator_version
from arm.in_guest import DONE
from arm.root import PYTHON_PACKAGES, cache_folder, unpacked_root
from latency.in_guest import START
from latency.models import ENCODERS, ModelFile, cost, model_files
from latency.networks import NETWORKS

from edgesim.engines import ENGINES

BENCH = Path(__file__).parent
PROGRAM = BENCH / "latency" / "in_guest.py"
NCNN = "1.0.20261020"
HEAD = """\
# Instructions of one warm inference on one thread, counted under QEMU by bench/bench_instructions.py, which
# writes this file. Of each network: multiply-accumulates, activations read and written, and weights, of its
# convolutions and linear layers (edgesim.models.cost). No time was measured.
"""

# Engine, arithmetic and core -> network -> instructions.
Counts = dict[tuple[str, str, str], dict[str, int]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="of user space, wheels and models")
    cache = parser.parse_args().cache.absolute()
    root = unpacked_root(cache, "bookworm", "arm64", PYTHON_PACKAGES)
    files = list(model_files(cache / "latency-models"))
    packages = {engine: [engine_packages(cache, engine)] for engine in ENGINES}
    # NumPy is LiteRT's.
    ncnn = unpacked_packages(cache, f"ncnn-{NCNN}", "--no-deps", f"ncnn=={NCNN}")
    packages["ncnn"] = [ncnn, *packages["litert"]]
    counts: Counts = defaultdict(dict)
    with tempfile.TemporaryDirectory(prefix="edgesim-instructions-") as folder:
        work = Path(folder)
        plugin = build_plugin(work)
        for core in ARM64_CORES:
            for engine, found in packages.items():
                guest = dataclasses.replace(Guest.in_root(core, root, work), packages=(*found, BENCH))
                _count(guest, engine, [file for file in files if engine in file.engines], plugin, counts)
    target = Path(str(resources.files("firmware_profiles") / "latency" / "instructions.toml"))
    target.write_text(_toml(counts))
    print(f"wrote {target}")


def _count(guest: Guest, engine: str, files: list[ModelFile], plugin: Path, counts: Counts) -> None:
    _, marks = run_counted(guest, plugin, PROGRAM, engine, *(file.path for file in files))
    for file, span in zip(files, spans(marks, START, DONE), strict=True):
        core = _core_name(guest.core)
        counts[engine, file.arithmetic, core][file.network] = span.instructions
        millions = span.instructions / 1e6
        print(f"{core} {engine} {file.network} {file.arithmetic}: {millions:.2f} M instructions", flush=True)


def _core_name(core: Core) -> str:
    """Return a core's name as device profiles spell it."""
    return core.name.title()


def _toml(counts: Counts) -> str:
    made_by = {
        "qemu": emulator_version(),
        "ncnn": NCNN,
        **{engine: importlib.metadata.version(ENGINES[engine].package) for engine in ENGINES},
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    tables = {"made_by": {key: f'"{value}"' for key, value in made_by.items()}}
    for name in (*NETWORKS, *ENCODERS):
        tables[f"networks.{name}"] = {
            key: f"{value}" for key, value in dataclasses.asdict(cost(name)).items()
        }
    for (engine, arithmetic, core), values in counts.items():
        tables[f"counts.{engine}.{arithmetic}.{core}"] = {name: f"{value}" for name, value in values.items()}
    blocks = [
        "\n".join([f"[{title}]", *(f"{key} = {value}" for key, value in table.items())])
        for title, table in tables.items()
    ]
    return "\n\n".join([HEAD.rstrip("\n"), *blocks]) + "\n"


if __name__ == "__main__":
    main()
