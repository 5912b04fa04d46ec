"""`edgesim isc21`: describe, match and score image sets in the files of the challenge of that name."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgesim.cli.encoders import add_encoder_option, add_engine_option
from edgesim.cli.parsers import Subparsers, add_action, add_command, add_json_option

if TYPE_CHECKING:
    from edgesim.isc21 import Descriptors
    from edgesim.runtime.embedder import Embedder

_EPILOG = """\
The data set DISC21 is its makers' to hand out and does not come with edgesim. Sets of your own work too, in
the same files.

example:
  edgesim isc21 describe queries/ --out queries.hdf5
  edgesim isc21 describe references/ --out references.hdf5
  edgesim isc21 match queries.hdf5 references.hdf5 --out predictions.csv
  edgesim isc21 score predictions.csv ground_truth.csv
"""

_EPILOG_DESCRIBE = """\
The file has the datasets vectors, float32 (N, D), and image_names, the file names without suffix.

example:
  edgesim isc21 describe queries/ --out queries.hdf5 --encoder copy
"""

_EPILOG_MATCH = """\
The file has the columns query_id, reference_id and score, the cosine of the angle between two embeddings:
1 for the same picture. With --background, a query's mean similarity to the three most similar TRAINING images
is taken off its scores, so that those of different queries can be compared better (Pizzi et al. 2022). These
images must be neither queries nor references.

example:
  edgesim isc21 match queries.hdf5 references.hdf5 --out predictions.csv --background training.hdf5
"""

_EPILOG_SCORE = """\
TRUTH has the columns query_id and reference_id, and a row for each query: one without a match has an empty
reference_id, one with several matches has several rows.

micro_ap: area under precision over recall of all predictions together, by decreasing score; recall_at_p90:
the largest recall where precision is 0.9 at least; recall_at_1: share of the queries with a match whose
prediction with the highest score is right. Of equal scores the wrong predictions come first.

--json prints one object:
  {"metrics": {"micro_ap": 0.5, "recall_at_p90": ..., "recall_at_1": ...},
   "queries": 50000, "queries_with_match": ..., "pairs": ..., "predictions": 500000}

example:
  edgesim isc21 score predictions.csv ground_truth.csv
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command and its actions to the parser."""
    parser = add_command(
        subparsers,
        "isc21",
        "Find edited copies of images in a set of references, and measure how well that went,\n"
        "as in the Image Similarity Challenge 2021 (Douze et al. 2021), in its file formats.",
        _EPILOG,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    _add_describe(actions)
    _add_match(actions)
    _add_score(actions)


def _add_describe(actions: Subparsers) -> None:
    parser = add_action(
        actions,
        "describe",
        "compute the embeddings of images",
        "Write the embeddings of all images of a folder as HDF5. Images that cannot be decoded\n"
        "are named and left out.",
        _EPILOG_DESCRIBE,
    )
    parser.add_argument("images", type=Path, metavar="IMAGES", help="folder of images")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="HDF5 file to write")
    add_encoder_option(parser)
    add_engine_option(parser)
    parser.set_defaults(run=run_describe)


def _add_match(actions: Subparsers) -> None:
    parser = add_action(
        actions,
        "match",
        "find each query's nearest references",
        "Write each query's nearest references with their scores as CSV.",
        _EPILOG_MATCH,
    )
    parser.add_argument("queries", type=Path, metavar="QUERIES", help="HDF5 file of the queries")
    parser.add_argument("references", type=Path, metavar="REFERENCES", help="HDF5 file of the references")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="CSV file to write")
    parser.add_argument(
        "-k", type=int, default=10, metavar="N", help="predict the N nearest of each query (default: 10)"
    )
    parser.add_argument(
        "--background", type=Path, metavar="TRAINING", help="HDF5 file of images to normalise scores by"
    )
    parser.set_defaults(run=run_match)


def _add_score(actions: Subparsers) -> None:
    parser = add_action(
        actions,
        "score",
        "measure how good predictions are",
        "Print the three figures of the challenge for predictions and their ground truth.",
        _EPILOG_SCORE,
    )
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="CSV file of the predictions")
    parser.add_argument("truth", type=Path, metavar="TRUTH", help="CSV file of the ground truth")
    add_json_option(parser)
    parser.set_defaults(run=run_score)


def run_describe(args: argparse.Namespace) -> int:
    """Embed images and write their descriptors."""
    from edgesim.errors import InputError
    from edgesim.files import find_images
    from edgesim.isc21 import require_h5py, write_descriptors
    from edgesim.runtime.embedder import Embedder, open_bundle

    require_h5py("edgesim isc21 describe")
    _check_out(args.out)
    images = _by_name(find_images([args.images]))
    embedder = Embedder(open_bundle(args.encoder), args.engine)
    descriptors, skipped = _describe(embedder, images)
    for reason in skipped:
        print(f"skipped {reason}", file=sys.stderr)
    if not descriptors.names:
        raise InputError("none of these images can be used; the reasons are above")
    write_descriptors(args.out, descriptors)
    print(
        f"{args.out}: {len(descriptors.names)} images described, {len(skipped)} skipped; "
        f"{descriptors.vectors.shape[1]} dimensions of {embedder.bundle.title}"
    )
    return 0


def _check_out(path: Path) -> None:
    """Refuse what would only be noticed after minutes of work."""
    from edgesim.errors import UsageError

    if path.is_dir():
        raise UsageError(f"{path}: is a folder; choose a file with --out")
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent}: no such folder; make it, or choose another file with --out")


def _by_name(paths: list[Path]) -> dict[str, Path]:
    """Return the images by their names without suffix; no two may have the same."""
    from edgesim.errors import InputError
    from edgesim.runtime.entry import printable

    images: dict[str, Path] = {}
    for path in paths:
        other = images.setdefault(printable(path.stem), path)
        if other != path:
            raise InputError(f"{other} and {path}: both are called {path.stem}; rename one of them")
    return images


def _describe(embedder: Embedder, images: dict[str, Path]) -> tuple[Descriptors, list[str]]:
    """Return the descriptors of the images, and why others cannot be decoded."""
    import numpy as np
    from tqdm import tqdm

    from edgesim.errors import ImageError
    from edgesim.isc21 import Descriptors

    embeddings, skipped = {}, []
    for name, path in tqdm(images.items(), desc="embedding", disable=None):
        try:
            embeddings[name] = embedder.embed_image(path)
        except ImageError as error:
            skipped.append(str(error))
    vectors = np.array(list(embeddings.values()), dtype=np.float32)
    return Descriptors(tuple(embeddings), vectors), skipped


def run_match(args: argparse.Namespace) -> int:
    """Compare descriptors and write the predictions."""
    from edgesim.copy_metrics import predict
    from edgesim.errors import UsageError
    from edgesim.isc21 import named_pairs, read_descriptors, write_predictions

    if args.k < 1:
        raise UsageError(f"-k: expected 1 at least, got {args.k}")
    _check_out(args.out)
    queries = read_descriptors(args.queries)
    references = _comparable(args.references, args.queries, queries)
    background = _comparable(args.background, args.queries, queries).vectors if args.background else None
    predictions = predict(queries.vectors, references.vectors, args.k, background)
    write_predictions(args.out, named_pairs(predictions, queries.names, references.names))
    print(
        f"{args.out}: {len(predictions.scores)} predictions, "
        f"{len(queries.names)} queries in {len(references.names)} references"
    )
    return 0


def _comparable(path: Path, queries_path: Path, queries: Descriptors) -> Descriptors:
    from edgesim.errors import InputError
    from edgesim.isc21 import read_descriptors

    descriptors = read_descriptors(path)
    expected, got = queries.vectors.shape[1], descriptors.vectors.shape[1]
    if got != expected:
        raise InputError(
            f"{path}: expected {expected} dimensions as in {queries_path}, got {got}; "
            "describe both with the same encoder"
        )
    return descriptors


def run_score(args: argparse.Namespace) -> int:
    """Print the metrics of predictions."""
    from edgesim.isc21 import read_predictions, read_truth, score

    truth = read_truth(args.truth)
    predictions = read_predictions(args.predictions, truth.queries)
    metrics = score(predictions, truth)
    counts = {
        "queries": len(truth.queries),
        "queries_with_match": len({query for query, _ in truth.pairs}),
        "pairs": len(truth.pairs),
        "predictions": len(predictions),
    }
    if args.json:
        from edgesim.cli.json_output import print_json

        print_json({"metrics": metrics, **counts})
    else:
        print(_table(metrics, counts))
    return 0


def _table(metrics: dict[str, float], counts: dict[str, int]) -> str:
    from edgesim.cli.tables import format_table

    rows = [(name, f"{value:.4f}") for name, value in metrics.items()]
    lines = [
        format_table(("metric", "value"), rows),
        "",
        f"queries      {counts['queries']}, {counts['queries_with_match']} with a match",
        f"pairs        {counts['pairs']}",
        f"predictions  {counts['predictions']}",
    ]
    return "\n".join(lines)
