"""`edgesim train`: train an encoder on images in a folder or on a known data set, or fine-tune one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesim.cli.encoders import BUILTIN_NAMES, find_checkpoint
from edgesim.cli.parsers import Subparsers, add_command, add_json_option

if TYPE_CHECKING:
    from edgesim.model_spec import ModelSpec
    from edgesim.models.encoder import Encoder
    from edgesim.training.config import TrainingConfig
    from edgesim.training.datasets import ImageSet
    from edgesim.training.fine_tuning import FineTuning

_EPILOG = """\
Run again with the same settings to resume an interrupted run.

--from starts from an encoder that exists and fits it to the classes of DATA: one folder for each class, 6
photos in each at least, better 30. A fifth of the photos is kept aside and only used for the table of before
and after: precision@1 is the share of them whose most similar other one is of the same class. Training ends
when it no longer helps, and RUN holds the best encoder. With --positives views no classes are needed: it
learns to find edited copies of the photos.

examples:
  edgesim train --data parts/ --from copy --out runs/parts
  edgesim train --data photos/ --from copy --positives views --out runs/photos
  edgesim export runs/parts --profile pi-4b --format both --out parts-bundle
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(
        subparsers,
        "train",
        "Train the compact encoder by metric learning. Needs: pip install 'edgesim[train]'.",
        _EPILOG,
    )
    parser.add_argument(
        "--data",
        required=True,
        metavar="DATA",
        help="a folder of class folders, a folder of images, or mnist, fashion_mnist, cifar10",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument("--data-root", metavar="ROOT", help="where mnist, fashion_mnist and cifar10 lie")
    parser.add_argument("--exclude", metavar="LIST", help="text file of image paths below DATA to leave out")
    parser.add_argument("--name", help="the encoder's name (default: the name of RUN)")
    _add_settings(parser)
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: a GPU if there is one"
    )
    add_json_option(parser, "print the result as JSON")
    parser.set_defaults(run=run)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from",
        dest="start",
        metavar="RUN",
        help=f"start from {BUILTIN_NAMES}, or from a run: fine-tune to classes, or with --positives views "
        "(--loss qk implies it) go on with its weights",
    )
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="architecture: a name from edgesim/models/zoo, or a TOML file (default: that of the settings)",
    )
    parser.add_argument(
        "--teacher",
        metavar="RUN",
        help="a run to learn from too: from its answers (--loss ce), or from its keys (--loss qk)",
    )
    parser.add_argument(
        "--loss",
        choices=("ms", "ce", "qk"),
        help="Multi-Similarity (default), cross-entropy, or QK Iteration for copy detection",
    )
    parser.add_argument(
        "--positives",
        choices=("class", "views"),
        help="what counts as the same: images of one class, or augmented views of one image "
        "(default: class where the folder has class folders)",
    )
    parser.add_argument("--config", type=Path, metavar="TOML", help="settings (default: a preset for DATA)")
    parser.add_argument("--epochs", type=int, help="passes over the images")
    parser.add_argument("--seed", type=int, help="the run's only source of chance (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Train and print what was measured."""
    from edgesim.errors import missing_dependency

    try:
        from edgesim.training.distributed import is_first
        from edgesim.training.metric_learning import train
    except ModuleNotFoundError as error:
        raise missing_dependency(error, "edgesim train") from error
    config = _config(args)
    if config.start and config.positives == "class":
        return _fine_tune(args, config)
    start = _start_weights(config) if config.start else None
    images, held_out = _images(config)
    metrics = train(config, images, held_out, args.out, args.device, start=start)
    if is_first():
        _report(args, config, images, metrics)
    return 0


def _config(args: argparse.Namespace) -> TrainingConfig:
    from edgesim.training.config import load_config, preset_path
    from edgesim.training.datasets import CANONICAL, has_class_folders

    positives, canonical = args.positives, args.data in CANONICAL
    preset = "fine_tune" if args.start else args.data if canonical else "photos"
    if args.loss == "qk":
        preset = "qk"
    elif args.start and positives == "views":
        preset = "copies"
    elif positives is None and args.config is None and not canonical:
        positives = "class" if args.start or has_class_folders(Path(args.data)) else "views"
    file = args.config or preset_path(preset)
    # Absolute, so that the run can be resumed and exported from any folder.
    return load_config(
        file,
        name=args.name or args.out.resolve().name,
        data=args.data if canonical else str(Path(args.data).resolve()),
        data_root=args.data_root and str(Path(args.data_root).resolve()),
        exclude=args.exclude and str(Path(args.exclude).resolve()),
        start=args.start and _absolute_run(args.start),
        teacher=args.teacher and str(Path(args.teacher).resolve()),
        encoder=_encoder_table(args, file),
        loss=args.loss,
        positives=positives,
        epochs=args.epochs,
        seed=args.seed,
    )


def _absolute_run(run: str) -> str:
    from edgesim.builtin import is_builtin

    return run if is_builtin(run) else str(Path(run).resolve())


def _encoder_table(args: argparse.Namespace, file: Path) -> dict[str, Any] | None:
    """Return what replaces the file's [encoder] table, or None to leave it."""
    from edgesim.errors import UsageError
    from edgesim.settings import read_toml

    if args.start and args.model:
        raise UsageError("--model: the architecture is that of --from; leave one of them out")
    table = read_toml(file).get("encoder", {})
    if args.start and not table:
        return _load_start(args.start)[0].config.to_dict()
    if not args.model:
        return None
    if "stages" in table:
        raise UsageError(f"--model: {file} has stages of its own; leave one of them out")
    return {**table, "model": args.model}


def _start_weights(config: TrainingConfig) -> dict[str, Any]:
    from edgesim.errors import UsageError

    start = _load_start(config.start)[0]
    if not start.config.shares_weights(config.encoder):
        raise UsageError(
            f"{config.start} has another architecture than the settings; "
            "leave out --model and the table [encoder], or change its input_size only"
        )
    return start.state_dict()


def _load_start(start: str) -> tuple[Encoder, ModelSpec]:
    from edgesim.training.checkpoint import load_encoder

    return load_encoder(find_checkpoint(start))


def _images(config: TrainingConfig) -> tuple[ImageSet, ImageSet | None]:
    from edgesim.training.datasets import CANONICAL, load_canonical, split_holdout

    size = config.source_size or config.encoder.input_size
    if config.data in CANONICAL:
        root = Path(config.data_root)
        train_part = load_canonical(config.data, root, size, train=True)
        return train_part, load_canonical(config.data, root, size, train=False)
    return split_holdout(_folder(config), config.holdout, config.seed)


def _folder(config: TrainingConfig) -> ImageSet:
    from edgesim.training.datasets import load_folder, read_list

    size = config.source_size or config.encoder.input_size
    exclude = read_list(Path(config.exclude)) if config.exclude else frozenset()
    return load_folder(Path(config.data), size, by_class=config.positives == "class", exclude=exclude)


def _report(
    args: argparse.Namespace, config: TrainingConfig, images: ImageSet, metrics: dict[str, float]
) -> None:
    if args.json:
        from edgesim.cli.json_output import print_json

        print_json({"run": str(args.out), "images": len(images), "metrics": metrics})
        return
    print(f"trained {config.name} on {len(images)} images, {config.epochs} epochs -> {args.out}")
    for name, value in metrics.items():
        print(f"{name} on held-out images: {value:.4f}")


def _fine_tune(args: argparse.Namespace, config: TrainingConfig) -> int:
    from edgesim.errors import InputError, UsageError
    from edgesim.training.datasets import CANONICAL, has_class_folders, split_by_class
    from edgesim.training.fine_tuning import check_start, fine_tune

    start = _load_start(config.start)
    check_start(config, start[0])
    if config.data in CANONICAL:
        raise UsageError(f"--from needs a folder of class folders as --data, got {config.data}")
    if Path(config.data).is_dir() and not has_class_folders(Path(config.data)):
        raise InputError(
            f"{config.data}: expected a folder for each class, 2 at least, with its photos; "
            "sort them into such folders, or train without --from"
        )
    split = split_by_class(_folder(config), config.holdout, config.validation, config.seed)
    _report_fine_tuning(args, config, fine_tune(config, split, start, args.out, args.device))
    return 0


def _report_fine_tuning(args: argparse.Namespace, config: TrainingConfig, result: FineTuning) -> None:
    if args.json:
        from edgesim.cli.json_output import print_json

        report = {"run": str(args.out), "images": result.images["training"], "metrics": result.metrics}
        print_json({**report, "unmeasured": result.unmeasured})
        return
    import shlex

    from edgesim.cli.tables import format_table

    count = result.images["test"]
    rows = [
        (f"before: {config.start}", result.before),
        (f"after: epoch {result.best_epoch} of {result.epochs}", result.after),
    ]
    cells = [(name, str(round(value * count)), str(count), f"{value:.4f}") for name, value in rows]
    print(format_table(("encoder", "right", "test images", "precision@1"), cells) + "\n")
    if result.unmeasured:
        print(_unmeasured(result.unmeasured))
    training, validation = result.images["training"], result.images["validation"]
    print(f"fine-tuned on {training} images, {validation} others decided when to stop -> {args.out}")
    if result.after <= result.before:
        print(f"not better than {config.start}: keep using that one, or add photos and fine-tune again")
    bundle = shlex.quote(f"{args.out}-bundle")
    print(f"next: edgesim export {shlex.quote(str(args.out))} --format both --out {bundle}")


def _unmeasured(names: tuple[str, ...]) -> str:
    from edgesim.training.datasets import MEASURED_CLASS

    return f"trained on but not measured, fewer than {MEASURED_CLASS} images: {', '.join(names)}"
