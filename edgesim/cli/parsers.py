"""What the parsers of all commands have in common."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

from edgesim.cli import COMMANDS

# A string, for the class takes no parameter when the program runs.
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(subparsers: Subparsers, name: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """Add a command of `COMMANDS` to the parser of the program; see `add_action`."""
    return add_action(subparsers, name, COMMANDS[name], description, epilog)


def add_action(
    actions: Subparsers, name: str, purpose: str, description: str, epilog: str
) -> argparse.ArgumentParser:
    """Add an action to the parser of a command.

    Args:
        actions: those of the command.
        name: the action's.
        purpose: its line on the command's help page.
        description: on its own help page above the arguments; lines are printed as they are.
        epilog: below the arguments; likewise. It ends with an example.
    """
    return actions.add_parser(
        name,
        help=purpose,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def example(*commands: str) -> str:
    """Return the epilog of a help page that has nothing but an example, a line for each command."""
    return "\n  ".join(("example:", *commands)) + "\n"


def add_index_argument(parser: argparse.ArgumentParser) -> None:
    """Add the folder of an index."""
    parser.add_argument("index", type=Path, metavar="INDEX", help="folder of the index")


def add_json_option(
    parser: argparse.ArgumentParser, purpose: str = "print JSON, in the form shown below"
) -> None:
    """Add `--json`; `purpose` is for a help page that does not show the form."""
    parser.add_argument("--json", action="store_true", help=purpose)
