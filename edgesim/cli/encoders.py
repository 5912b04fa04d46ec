"""How commands take an encoder: a built-in one by its name, or another by its path; and its engine."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgesim.builtin import DEFAULT_ENCODER, ENCODERS, checkpoint_path, is_builtin

BUILTIN_NAMES = ", ".join(ENCODERS)


def add_encoder_option(
    parser: argparse.ArgumentParser, default: str | None = DEFAULT_ENCODER, otherwise: str = DEFAULT_ENCODER
) -> None:
    """Add `--encoder` to the parser of a command that computes embeddings.

    Args:
        parser: the command's.
        default: the value without the option.
        otherwise: what the help page says about that.
    """
    parser.add_argument(
        "--encoder",
        metavar="|".join((*ENCODERS, "FOLDER")),
        default=default,
        help="copy: is it the same picture or item, edited? similar: has anything of this kind been seen? "
        f"or the folder of a bundle; default: {otherwise}",
    )


def add_engine_option(parser: argparse.ArgumentParser) -> None:
    """Add `--engine` to the parser of a command that computes embeddings."""
    parser.add_argument("--engine", metavar="ENGINE", help="inference engine (default: the first that fits)")


def add_search_options(parser: argparse.ArgumentParser) -> None:
    """Add `--encoder` and `--engine` to the parser of a command that searches an index."""
    add_encoder_option(parser, None, "the one that the index was made with, the only one that can search it")
    add_engine_option(parser)


def add_bundle_argument(parser: argparse.ArgumentParser) -> None:
    """Add the bundle that a command is about."""
    parser.add_argument("bundle", metavar="BUNDLE", help=f"{BUILTIN_NAMES}, or the folder of a bundle")


def find_checkpoint(name_or_path: str) -> Path:
    """Return the checkpoint of a built-in encoder, or the path: a run folder, or its `encoder.pt`.

    Raises:
        BundleError: neither a built-in encoder's name, nor a path that exists.
    """
    from edgesim.errors import BundleError

    if is_builtin(name_or_path):
        return checkpoint_path(name_or_path)
    path = Path(name_or_path)
    if not path.exists():
        raise BundleError(
            f"{path}: no such file or folder, and not one of {BUILTIN_NAMES}; make a run with: edgesim train"
        )
    return path
