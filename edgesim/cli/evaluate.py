"""`edgesim evaluate`: how well an encoder tells the classes of a data set apart; studies are in study.py."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesim.cli.parsers import Subparsers, add_command, add_json_option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgesim.evaluation import Evaluation, Subject
    from edgesim.size_quality import Point
    from edgesim.training.datasets import ImageSet

    # Who embeds which images, and the work itself, put off until the whole request is known to be right.
    Prepared = tuple[Subject, ImageSet, Callable[[], NDArray[np.float32]]]

JSON_FILE, PAGE_FILE = "evaluation.json", "evaluation.html"

_EPILOG = """\
Each image is looked up among all others of the set. precision_at_1: share of images whose nearest other is of
their class; precision_at_10: share of that class among the 10 nearest; r_precision and map_at_r: the same for
the R nearest, R being the number of others of that class, map_at_r counting early places more.
Of mnist, fashion_mnist and cifar10 the test part is taken, 10,000 images.

--json prints one object, which --out writes too:
  {"encoder": ..., "engine": ..., "model_bytes": 146000, "dataset": ..., "images": 10000,
   "metrics": {"precision_at_1": 0.9, "precision_at_10": ..., "r_precision": ..., "map_at_r": ...},
   "classes": [...], "confusion_neighbours": 10, "confusion_percent": [[...], ...]}
With --compare also, the smallest file first, this encoder among them:
  "curve": [{"encoder": ..., "engine": ..., "model_bytes": 146000, "precision_at_1": 0.9}, ...]

--compare takes evaluations of the same DATA and as many images. Those of others are passed over in a FOLDER,
and an error as a FILE. model_bytes is the size of a run's float encoder.pt and of a bundle's int8 model; an
encoder is on the Pareto front when no other is as small and better, or smaller and as good.

--study qk needs no encoder: it trains small ones on the images of FOLDER, 100 at least, better some thousand,
and looks up edited copies of images held out: 4 methods, 3 times each. qk is QK Iteration, a query and a key
model that learn against all images at once; qk_query_model the same with references described by the query
model; qk_one_head gives both models one head; simclr learns against the other images of the batch, moco
against a queue of the last ones. micro_ap: how far true copies come before false ones, over all queries;
recall_at_p90: share of the copies found while 90 of 100 answers are true; recall_at_1: share of the copies
whose first answer is true. --json prints one object, which --out writes too:
  {"study": "qk", "folder": ..., "images": 2000, "seeds": 3, "settings": {"epochs": 20, ...},
   "figures": {"qk": [{"micro_ap": 0.5, "recall_at_p90": ..., "recall_at_1": ...}, ...], ...},
   "verdict": [..., ...]}

example:
  edgesim evaluate copy --dataset parts/ --out evaluations/copy
  edgesim evaluate runs/parts --dataset parts/ --out evaluations/parts --compare evaluations/
  edgesim evaluate runs/cifar --dataset cifar10 --data-root data/
  edgesim evaluate --study qk photos/ --out studies/photos
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(
        subparsers,
        "evaluate",
        "Measure how well an encoder tells the classes of a data set apart: a bundle through\n"
        "the int8 model that runs on the device, a run of edgesim train through its float model.\n"
        "Or, with --study, on your own images, which way of training finds copies best.",
        _EPILOG,
    )
    parser.add_argument(
        "encoder",
        metavar="BUNDLE|RUN|FOLDER",
        help="copy, similar, the folder of a bundle, or that of a run; with --study a folder of images",
    )
    parser.add_argument(
        "--dataset",
        metavar="DATA",
        help="mnist, fashion_mnist, cifar10, or a folder of class folders (needed without --study)",
    )
    parser.add_argument(
        "--data-root", type=Path, metavar="ROOT", help="where mnist, fashion_mnist and cifar10 lie"
    )
    parser.add_argument(
        "--engine", metavar="ENGINE", help="inference engine of a bundle (default: the first that fits)"
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="take N images only, evenly spaced in the set (default: all)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help=f"write {JSON_FILE} and {PAGE_FILE}, with confusion matrix and examples, replacing older ones; "
        "of a study study.json and study.html, with a chart",
    )
    parser.add_argument(
        "--compare",
        action="extend",
        nargs="+",
        type=Path,
        metavar="FILE|FOLDER",
        help=f"draw model size against precision@1, with other encoders' {JSON_FILE} or those below a folder",
    )
    _add_study(parser)
    add_json_option(parser)
    parser.set_defaults(run=run)


def _add_study(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--study", choices=("qk",), help="compare QK Iteration with the usual losses on the images of FOLDER"
    )
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="runs of each method of a study, 2 at least (default: 3)"
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="epochs of each run of a study (default: 20)")


def run(args: argparse.Namespace) -> int:
    """Evaluate and print what was measured."""
    from edgesim.cli import study

    study.check(args)
    return study.run(args) if args.study else _evaluate(args)


def _evaluate(args: argparse.Namespace) -> int:
    import dataclasses

    from edgesim.cli.json_output import print_json
    from edgesim.evaluation import evaluate_embeddings
    from edgesim.evaluation_page import evaluation_page
    from edgesim.size_quality import Point, in_order

    _check(args)
    subject, images, embed = _bundle(args) if _is_bundle(args.encoder) else _run(args)
    others = _others(args, len(images))
    evaluation = evaluate_embeddings(embed(), images.labels, images.classes, subject)
    report = evaluation.to_dict()
    points = in_order([Point.of(evaluation), *others])
    if args.compare:
        report["curve"] = [dataclasses.asdict(point) for point in points]
    if args.out:
        _write(args.out, report, evaluation_page(evaluation, images.pixels, points))
    if args.json:
        print_json(report)
    else:
        print(_text(evaluation, points, args))
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse what would only be noticed after minutes of work."""
    from edgesim.errors import UsageError
    from edgesim.training.datasets import CANONICAL

    if args.dataset is None:
        raise UsageError(f"--dataset is missing: pass {', '.join(CANONICAL)}, or a folder of class folders")
    if args.dataset in CANONICAL and not args.data_root:
        raise UsageError(
            f"--dataset {args.dataset} needs --data-root, the folder that holds {CANONICAL[args.dataset]}"
        )
    if args.limit is not None and args.limit < 2:
        raise UsageError(f"--limit: expected 2 at least, got {args.limit}")
    if args.out and args.out.exists() and not args.out.is_dir():
        raise UsageError(f"{args.out}: is a file; choose a folder with --out")


def _is_bundle(encoder: str) -> bool:
    from edgesim.builtin import is_builtin
    from edgesim.manifest import MANIFEST

    return is_builtin(encoder) or (Path(encoder) / MANIFEST).exists()


def _images(args: argparse.Namespace, size: int) -> ImageSet:
    import numpy as np

    from edgesim.training.datasets import CANONICAL, load_canonical, load_folder

    if args.dataset in CANONICAL:
        images = load_canonical(args.dataset, args.data_root, size, train=False)
    else:
        images = load_folder(Path(args.dataset), size, by_class=True)
    if args.limit is None or args.limit >= len(images):
        return images
    return images.subset(np.linspace(0, len(images) - 1, args.limit).round().astype(np.intp))


def _others(args: argparse.Namespace, images: int) -> list[Point]:
    from edgesim.size_quality import read_points

    replaced = args.out / JSON_FILE if args.out else None
    return read_points(args.compare or (), JSON_FILE, dataset=args.dataset, images=images, replaced=replaced)


def _bundle(args: argparse.Namespace) -> Prepared:
    import numpy as np
    from tqdm import trange

    from edgesim.evaluation import Subject
    from edgesim.runtime.embedder import Embedder, open_bundle
    from edgesim.runtime.engines import model_format

    embedder = Embedder(open_bundle(args.encoder), args.engine)
    bundle = embedder.bundle
    images = _images(args, bundle.spec.input_size)

    def embed() -> NDArray[np.float32]:
        # In batches, for the normalised pixels take four times the memory.
        starts = trange(0, len(images), 64, desc="embedding", disable=None)
        return np.concatenate([embedder.embed_pixels(images.pixels[i : i + 64]) for i in starts])

    size = bundle.model_path(model_format(embedder.engine)).stat().st_size
    engine = f"{embedder.engine} {embedder.engine_version}"
    return Subject(encoder=bundle.title, engine=engine, model_bytes=size, dataset=args.dataset), images, embed


def _run(args: argparse.Namespace) -> Prepared:
    from edgesim.errors import BundleError, UsageError, missing_dependency

    path = Path(args.encoder)
    file = path / "encoder.pt" if path.is_dir() else path
    if not file.is_file():
        raise BundleError(
            f"{path}: neither a bundle (no manifest.json) nor a run (no encoder.pt); "
            "make one with: edgesim export, or edgesim train"
        )
    if args.engine:
        raise UsageError(f"--engine: {path} is a run, which torch computes; leave it out, or pass a bundle")
    try:
        from edgesim.models.encoder import embed_pixels
        from edgesim.training.checkpoint import load_encoder
    except ModuleNotFoundError as error:
        raise missing_dependency(error, "edgesim evaluate of a run") from error
    from edgesim.evaluation import Subject

    encoder, spec = load_encoder(file)
    images = _images(args, spec.input_size)
    subject = Subject(
        encoder=spec.name, engine="torch (float)", model_bytes=file.stat().st_size, dataset=args.dataset
    )
    return subject, images, lambda: embed_pixels(encoder, spec, images.pixels)


def _write(folder: Path, report: dict[str, Any], page: str) -> None:
    from edgesim.cli.json_output import json_text
    from edgesim.files import write_atomic

    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / JSON_FILE, f"{json_text(report)}\n".encode())
    write_atomic(folder / PAGE_FILE, page.encode())


def _text(evaluation: Evaluation, points: list[Point], args: argparse.Namespace) -> str:
    from edgesim.cli.tables import format_table

    subject = evaluation.subject
    rows = [(name, f"{value:.4f}") for name, value in evaluation.metrics.items()]
    lines = [
        format_table(("metric", "value"), rows),
        "",
        *([_curve(points), ""] if args.compare else []),
        f"encoder  {subject.encoder}, {subject.engine}, {subject.model_bytes} bytes",
        f"images   {len(evaluation.labels)} of {subject.dataset}, {len(evaluation.classes)} classes",
    ]
    return "\n".join([*lines, *([f"page     {args.out / PAGE_FILE}"] if args.out else [])])


def _curve(points: list[Point]) -> str:
    from edgesim.cli.tables import format_table
    from edgesim.size_quality import pareto_front

    front = pareto_front(points)
    rows = [
        (
            str(point.model_bytes),
            f"{point.precision_at_1:.4f}",
            "yes" if point in front else "no",
            f"{point.encoder}, {point.engine}",
        )
        for point in points
    ]
    return format_table(("model_bytes", "precision_at_1", "pareto_front", "encoder"), rows)
