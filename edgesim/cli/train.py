"""`edgesim train`: train the compact encoder on images in a folder or on a known data set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgesim.cli import COMMANDS

if TYPE_CHECKING:
    from edgesim.training.config import TrainingConfig
    from edgesim.training.datasets import ImageSet

_EPILOG = """\
Run again with the same settings to resume an interrupted run.

example:
  edgesim train --data parts/ --loss ms --out runs/parts
  edgesim export runs/parts --profile pi-4b --format both --out parts-bundle
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "train",
        help=COMMANDS["train"],
        description="Train the compact encoder by metric learning. Needs: pip install 'edgesim[train]'.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data",
        required=True,
        metavar="DATA",
        help="a folder of class folders, a folder of images, or mnist, fashion_mnist, cifar10",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument("--loss", choices=("ms", "ce"), help="Multi-Similarity (default) or cross-entropy")
    parser.add_argument(
        "--positives",
        choices=("class", "views"),
        help="what counts as the same: images of one class, or augmented views of one image "
        "(default: class where the folder has class folders)",
    )
    parser.add_argument("--data-root", metavar="ROOT", help="where mnist, fashion_mnist and cifar10 lie")
    parser.add_argument("--exclude", metavar="LIST", help="text file of image paths below DATA to leave out")
    parser.add_argument("--config", type=Path, metavar="TOML", help="settings (default: a preset for DATA)")
    parser.add_argument("--name", help="the encoder's name (default: the name of RUN)")
    parser.add_argument("--epochs", type=int, help="passes over the images")
    parser.add_argument("--seed", type=int, help="the run's only source of chance (default: 0)")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: a GPU if there is one"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train and print what was measured."""
    from edgesim.errors import missing_dependency

    try:
        from edgesim.training.metric_learning import train
    except ModuleNotFoundError as error:
        raise missing_dependency(error, "edgesim train") from error
    config = _config(args)
    images, held_out = _images(config)
    metrics = train(config, images, held_out, args.out, args.device)
    _report(args, config, images, metrics)
    return 0


def _config(args: argparse.Namespace) -> TrainingConfig:
    from edgesim.training.config import load_config, preset_path
    from edgesim.training.datasets import CANONICAL, has_class_folders

    positives, canonical = args.positives, args.data in CANONICAL
    if positives is None and args.config is None and not canonical:
        positives = "class" if has_class_folders(Path(args.data)) else "views"
    # Absolute, so that the run can be resumed and exported from any folder.
    return load_config(
        args.config or preset_path(args.data),
        name=args.name or args.out.resolve().name,
        data=args.data if canonical else str(Path(args.data).resolve()),
        data_root=args.data_root and str(Path(args.data_root).resolve()),
        exclude=args.exclude and str(Path(args.exclude).resolve()),
        loss=args.loss,
        positives=positives,
        epochs=args.epochs,
        seed=args.seed,
    )


def _images(config: TrainingConfig) -> tuple[ImageSet, ImageSet | None]:
    from edgesim.training.datasets import CANONICAL, load_canonical, load_folder, read_list, split_holdout

    size = config.source_size or config.encoder.input_size
    if config.data in CANONICAL:
        root = Path(config.data_root)
        train_part = load_canonical(config.data, root, size, train=True)
        return train_part, load_canonical(config.data, root, size, train=False)
    exclude = read_list(Path(config.exclude)) if config.exclude else frozenset()
    images = load_folder(Path(config.data), size, by_class=config.positives == "class", exclude=exclude)
    return split_holdout(images, config.holdout, config.seed)


def _report(
    args: argparse.Namespace, config: TrainingConfig, images: ImageSet, metrics: dict[str, float]
) -> None:
    if args.json:
        import json

        print(json.dumps({"run": str(args.out), "images": len(images), "metrics": metrics}))
        return
    print(f"trained {config.name} on {len(images)} images, {config.epochs} epochs -> {args.out}")
    for name, value in metrics.items():
        print(f"{name} on held-out images: {value:.4f}")
