"""How many instructions one inference takes on the Arm cores of the Raspberry Pi: our encoders and others'.

    python bench/bench_encoder_instructions.py [--models FOLDER|FILE ...] [--cache FOLDER]

The built-in encoders in every engine, TFLite files of others (of a folder: *_feat.tflite) in LiteRT, ONNX
files in onnxruntime, at 224x224 where they leave it open. One warm inference on one thread, counted under
QEMU. Needs Debian's qemu-user, mmdebstrap and gcc. Instructions are no time. The result goes to
bench/results/encoder_instructions.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from arm.cores import ARM64_CORES
from arm.counting import build_plugin, run_counted, spans
from arm.engines import engine_packages
from arm.guest import Guest
from arm.in_guest import DONE
from arm.root import PYTHON_PACKAGES, cache_folder, unpacked_root
from arm.setting import describe_emulation
from harness import write_result
from latency.in_guest import START
from pages.encoders import INSTRUCTIONS, instructions_table

from edgesim.builtin import ENCODERS
from edgesim.engines import ENGINES
from edgesim.errors import InputError
from edgesim.runtime.embedder import open_bundle

BENCH = Path(__file__).parent
PROGRAM = BENCH / "latency" / "in_guest.py"


class Model(NamedTuple):
    """A file, what results call it, and the engines that it is counted in."""

    name: str
    path: Path
    engines: tuple[str, ...]


def models(paths: list[Path]) -> Iterator[Model]:
    """Yield the built-in encoders, then the files of others. Raises `InputError` for a path without any."""
    for name in ENCODERS:
        bundle = open_bundle(name)
        for model_format in bundle.models:
            engines = tuple(e for e, engine in ENGINES.items() if engine.model_format == model_format)
            yield Model(name, bundle.model_path(model_format), engines)
    for path in paths:
        files = sorted(path.glob("*_feat.tflite")) if path.is_dir() else [path]
        if not files or not all(file.is_file() for file in files):
            raise InputError(f"{path}: expected a TFLite or ONNX file, or a folder of *_feat.tflite")
        for file in files:
            engine = "onnxruntime" if file.suffix == ".onnx" else "litert"
            yield Model(file.stem.removesuffix("_feat"), file.absolute(), (engine,))


def count(found: list[Model], cache: Path) -> dict[str, dict[str, dict[str, int]]]:
    """Return name -> engine -> core -> instructions."""
    root = unpacked_root(cache, "bookworm", "arm64", PYTHON_PACKAGES)
    packages = {engine: engine_packages(cache, engine) for engine in ENGINES}
    counts: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    with tempfile.TemporaryDirectory(prefix="edgesim-instructions-") as folder:
        work = Path(folder)
        plugin = build_plugin(work)
        for core in ARM64_CORES:
            for engine, installed in packages.items():
                guest = dataclasses.replace(Guest.in_root(core, root, work), packages=(installed, BENCH))
                files = [model for model in found if engine in model.engines]
                paths = [model.path for model in files]
                _, marks = run_counted(guest, plugin, PROGRAM, engine, *paths)
                for model, span in zip(files, spans(marks, START, DONE), strict=True):
                    counts[model.name][engine][core.name] = span.instructions
                    millions = span.instructions / 1e6
                    print(f"{core.name} {engine} {model.name}: {millions:.2f} M", file=sys.stderr, flush=True)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", type=Path, default=[], help="files, or folders of them")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="of user space and wheels")
    args = parser.parse_args()
    try:
        found = list(models(args.models))
    except InputError as error:
        sys.exit(str(error))
    counts = count(found, args.cache.absolute())
    result = {
        "machine": describe_emulation(),
        "cores": [core.name for core in ARM64_CORES],
        "encoders": counts,
    }
    write_result(INSTRUCTIONS, result)
    print(instructions_table(result))


if __name__ == "__main__":
    main()
