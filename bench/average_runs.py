"""Average the weights of two runs of which the second went on from the first.

    python bench/average_runs.py RUN RUN --name copy --out FOLDER

Both lie in one valley of the loss, and their mean is flatter in it than either (Izmailov et al. 2018, arXiv
1803.05407). FOLDER becomes a run folder with the second one's settings, its input size too.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
from pathlib import Path

from edgesim.errors import BundleError, EdgesimError
from edgesim.models.encoder import Encoder
from edgesim.training.checkpoint import CONFIG_FILE, ENCODER_FILE, load_encoder, save_encoder


def average(first: Encoder, second: Encoder) -> Encoder:
    """Return the second encoder with the mean of both weights and statistics; counters stay its own."""
    theirs, ours = first.state_dict(), second.state_dict()
    if not first.config.shares_weights(second.config):
        raise BundleError(
            "the runs' encoders are not of one architecture; average a run and its continuation"
        )
    second.load_state_dict(
        {
            name: (ours[name] + theirs[name]) / 2 if ours[name].is_floating_point() else ours[name]
            for name in ours
        }
    )
    return second


def main() -> int:
    """Write the average and say where it lies."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs=2, type=Path, metavar="RUN")
    parser.add_argument("--name", required=True, help="the encoder's name")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="must not exist")
    args = parser.parse_args()
    try:
        (first, _), (second, spec) = (load_encoder(run) for run in args.runs)
        averaged = average(first, second)
        args.out.mkdir(parents=True)
        shutil.copy(args.runs[1] / CONFIG_FILE, args.out / CONFIG_FILE)
        save_encoder(args.out / ENCODER_FILE, averaged, dataclasses.replace(spec, name=args.name))
    except FileExistsError:
        print(f"{args.out}: exists already; choose another folder", file=sys.stderr)
        return 2
    except EdgesimError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    print(f"the average of {args.runs[0].name} and {args.runs[1].name} -> {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
