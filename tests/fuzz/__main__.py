"""Look for files that edgesim neither reads nor refuses by name, with atheris (libFuzzer for Python).

    scripts/fuzz [--seconds N] [--seed N] [--corpus DIR] [--findings DIR] [images] [bundles]

Each target gets N seconds in a process of its own: `images` goes through decoding and resizing, `bundles`
through the checks of model files and the manifest. They start with the files of tests/fuzz/seeds.py.
libFuzzer sees which Python code of edgesim and of Pillow a file reaches, but not into libjpeg and libtiff. A
finding is an exception that is none of edgesim's, a crash, 20 seconds for one file, or more memory than is
promised. The file is kept, and the status is 1.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

# Of resident memory: what an image may take beside the interpreter, Pillow, NumPy and libFuzzer.
RSS_MB = 600
FILE_SECONDS = 20
FILE_BYTES = 20_000
# One in so many mutations is ours, the rest are libFuzzer's.
OURS = 3
TARGETS = ("images", "bundles")
RUN = "--run"


def run_target(name: str, arguments: list[str]) -> None:
    """Fuzz one target in this process; libFuzzer ends it."""
    with atheris.instrument_imports(include=["PIL", "edgesim"]):
        for decoder in ("Jpeg", "Mpo", "Png", "WebP", "Bmp", "Tiff", "Gif"):
            __import__(f"PIL.{decoder}ImagePlugin")
        from tests.fuzz.targets import decode, read_bundle
    from tests.fuzz.mutations import mutate, with_right_checksums

    target = {"images": decode, "bundles": read_bundle}[name]

    def mutated(data: bytes, max_size: int, seed: int) -> bytes:
        if seed % OURS == 0:
            return mutate(data, seed)[:max_size]
        changed = atheris.Mutate(data, max_size)
        return with_right_checksums(changed) if seed % 2 else changed

    atheris.Setup(
        [sys.argv[0], *arguments],
        lambda data: target(data) and None,
        custom_mutator=mutated,
        internal_libfuzzer=True,
    )
    atheris.Fuzz()


def write_seeds(name: str, folder: Path) -> None:
    """Write the files that a target starts with."""
    from tests.fuzz.seeds import bundle_seeds, image_seeds

    images = [file for files in image_seeds().values() for file in files]
    files = bundle_seeds() if name == "bundles" else images
    for number, content in enumerate(files):
        (folder / f"{number:02d}").write_bytes(content)


def fuzz(name: str, args: argparse.Namespace) -> bool:
    """Fuzz one target in a process of its own, and say what was found; return whether that is nothing."""
    args.findings.mkdir(parents=True, exist_ok=True)
    log = args.findings / f"{name}.log"
    with tempfile.TemporaryDirectory() as seeds, log.open("w") as stream:
        write_seeds(name, Path(seeds))
        folders = [seeds]
        if args.corpus:
            (args.corpus / name).mkdir(parents=True, exist_ok=True)
            folders.insert(0, str(args.corpus / name))  # libFuzzer writes into the first
        options = {
            "max_total_time": args.seconds,
            "seed": args.seed,
            "max_len": FILE_BYTES,
            "timeout": FILE_SECONDS,
            "rss_limit_mb": RSS_MB,
            "artifact_prefix": f"{args.findings}/{name}-",
            "print_final_stats": 1,
        }
        command = [sys.executable, "-m", "tests.fuzz", RUN, name]
        command += [*(f"-{key}={value}" for key, value in options.items()), *folders]
        status = subprocess.run(command, stdout=stream, stderr=stream, check=False).returncode
    said = log.read_text(errors="replace")
    if status:
        print(f"{name}: a finding, in {args.findings}. The end of {log}:\n{said[-4000:]}")
    else:
        print(f"{name}: {summary(said)}; nothing found")
    return status == 0


def summary(log: str) -> str:
    """Return what libFuzzer says at the end."""
    files, megabytes, slowest = (
        re.findall(rf"{name}: *(\d+)", log)[-1]
        for name in ("number_of_executed_units", "peak_rss_mb", "slowest_unit_time_sec")
    )
    covered = re.findall(r"cov: (\d+)", log)
    return (
        f"{files} files, {covered[0]} edges covered at first and {covered[-1]} at last, "
        f"{megabytes} MB and {slowest} s at most"
    )


def main() -> int:
    if sys.argv[1:2] == [RUN]:
        run_target(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="images, bundles (default: both)")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="of the mutations (default: 1)")
    parser.add_argument(
        "--corpus", type=Path, help="start with these files, too; what reaches new code is added"
    )
    parser.add_argument(
        "--findings", type=Path, default=Path("fuzz-findings"), help="(default: fuzz-findings)"
    )
    args = parser.parse_args()
    unknown = set(args.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    sound = [fuzz(name, args) for name in args.targets or TARGETS]
    return int(not all(sound))


if __name__ == "__main__":
    sys.exit(main())
