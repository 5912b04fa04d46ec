"""Entry point of the command `edgesim`: the parser, and what happens to errors."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Container

from edgesim import __version__
from edgesim.cli import COMMANDS
from edgesim.errors import EdgesimError, StorageError

_EPILOG = """\
exit status: 0 success; 2 wrong request; 3 unusable input; 4 damaged bundle; 5 damaged or foreign index;
6 a package is missing; 7 a gate or budget is not met; 8 disk full or read-only; 130 interrupted
"""


def build_parser(commands: Container[str] = COMMANDS, *, name_others: bool = True) -> argparse.ArgumentParser:
    """Return the parser of the program; docs/cli.md is generated from it.

    Each command's module offers `add_parser(subparsers)`, which sets the default `run` to a function of the
    parsed arguments that returns the exit status. Their module level imports are cheap; whatever is heavy is
    imported inside `run`.

    Args:
        commands: those whose arguments are wanted. The others get a name and a line on the help page, and
            their modules are not imported.
        name_others: False leaves the others out.
    """
    parser = argparse.ArgumentParser(
        prog="edgesim",
        description="Image similarity search on small devices, offline.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"edgesim {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, purpose in COMMANDS.items():
        if name in commands:
            importlib.import_module(f"edgesim.cli.{name}").add_parser(subparsers)
        elif name_others:
            subparsers.add_parser(name, help=purpose)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status (see edgesim.errors)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # For every command that imports onnxruntime, and for the processes that they start.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    # Behind a command the others cannot be seen; naming them takes nearly as long as embedding a photo.
    command = arguments[:1]
    args = build_parser(command, name_others=not COMMANDS.keys() & command).parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A path that the terminal's encoding lacks is printed escaped, instead of ending the program.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status: int = args.run(args)
        sys.stdout.flush()
        return status
    except EdgesimError as error:
        return _fail(str(error), error.exit_status)
    except KeyboardInterrupt as interruption:
        return _fail(str(interruption) or "interrupted; what was committed before is kept", 130)
    except BrokenPipeError:
        # The reader of our output has left (`edgesim ... | head`): not an error. Python would complain
        # once more when it closes stdout, so that goes to nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _fail(f"{error.filename or 'disk'}: {error.strerror or error}", StorageError.exit_status)


def _fail(message: str, status: int) -> int:
    print(f"edgesim: {message}", file=sys.stderr)
    return status
