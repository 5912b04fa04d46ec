"""The study of `edgesim evaluate --study qk`, with the machine that it ran on.

    python bench/bench_qk_study.py FOLDER [--seeds 3] [--epochs 20]

FOLDER is any folder of images; the result, bench/results/copy/qk_study.json, names it without its path.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from harness import describe_machine, write_result
from pages.copy_detection import study_table

from edgesim.cli.study import study


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    args = parser.parse_args()
    report = study(args.folder, args.seeds, args.epochs)
    result = {"machine": describe_machine(), **report, "folder": args.folder.name}
    write_result("copy/qk_study", result)
    print(study_table(result), "", *report["verdict"], sep="\n")


if __name__ == "__main__":
    main()
