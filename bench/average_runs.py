"""Average the weights of runs that went on from one another, or from the same one.

    python bench/average_runs.py RUN RUN [RUN ...] --name copy --out FOLDER

All lie in one valley of the loss, and their mean is flatter in it than each (Izmailov et al. 2018, arXiv
1803.05407). FOLDER becomes a run folder with the last one's settings, its input size too.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from edgesim.errors import BundleError, EdgesimError
from edgesim.models.encoder import Encoder
from edgesim.training.checkpoint import CONFIG_FILE, ENCODER_FILE, load_encoder, save_encoder


def average(encoders: Sequence[Encoder]) -> Encoder:
    """Return the last encoder with the mean of all weights and statistics; counters stay its own."""
    last = encoders[-1]
    if not all(last.config.shares_weights(encoder.config) for encoder in encoders):
        raise BundleError(
            "the runs' encoders are not of one architecture; average a run and its continuation"
        )
    states = [encoder.state_dict() for encoder in encoders]
    last.load_state_dict(
        {
            name: sum(state[name] for state in states) / len(states) if value.is_floating_point() else value
            for name, value in states[-1].items()
        }
    )
    return last


def main() -> int:
    """Write the average and say where it lies."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--name", required=True, help="the encoder's name")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="must not exist")
    args = parser.parse_args()
    try:
        loaded = [load_encoder(run) for run in args.runs]
        averaged, spec = average([encoder for encoder, _ in loaded]), loaded[-1][1]
        args.out.mkdir(parents=True)
        shutil.copy(args.runs[-1] / CONFIG_FILE, args.out / CONFIG_FILE)
        save_encoder(args.out / ENCODER_FILE, averaged, dataclasses.replace(spec, name=args.name))
    except FileExistsError:
        print(f"{args.out}: exists already; choose another folder", file=sys.stderr)
        return 2
    except EdgesimError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    print(f"the average of {', '.join(run.name for run in args.runs)} -> {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
