"""Documents that cannot rot: docs/cli.md, the examples of every command, the README's commands, and links."""

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from edgesim.cli.main import build_parser

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path
    for pattern in (
        "*.md",
        "docs/*.md",
        "bench/*.md",
        "export/*.md",
        "firmware_profiles/*.md",
        "edgesim/**/*.md",
    )
    for path in ROOT.glob(pattern)
)


def commands(parser):
    """Return a parser and those of all its subcommands."""
    found = [parser]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                found += commands(subparser)
    return found


COMMANDS = commands(build_parser())


def check_command(line):
    """Fail unless the line is a command that the parser accepts."""
    try:
        build_parser().parse_args(shlex.split(line, comments=True)[1:])
    except SystemExit as stopped:
        if stopped.code != 0:
            pytest.fail(f"the parser refuses: {line}")


def code_lines(text):
    """Return the lines of all code blocks, continued lines joined, without prompts."""
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    indented = re.findall(
        r"^    (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    joined = "\n".join([*blocks, *indented]).replace("\\\n", " ")
    return [line.removeprefix("$ ").strip() for line in joined.splitlines()]


def anchors(text):
    """Return the anchors of a page's headings, as the usual renderers name them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_command_line_page_is_up_to_date():
    script = str(ROOT / "scripts" / "cli-docs")
    env = {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, env=env, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("parser", COMMANDS, ids=lambda parser: parser.prog)
def test_every_command_and_argument_is_explained(parser):
    page = (ROOT / "docs" / "cli.md").read_text()
    assert f"\n## {parser.prog}\n" in page
    assert parser.description
    for action in parser._actions:
        assert action.help or isinstance(action, argparse._SubParsersAction), action
        for option in action.option_strings:
            assert option in ("-h", "--help") or f"`{option}" in page or f", {option}" in page


@pytest.mark.parametrize("parser", COMMANDS[1:], ids=lambda parser: parser.prog)
def test_every_command_has_an_example_that_parses(parser):
    examples = [line.strip() for line in (parser.epilog or "").splitlines() if line.startswith("  edgesim ")]
    assert any(line.startswith(parser.prog) for line in examples)
    for line in examples:
        check_command(line)


def test_the_readmes_commands_exist():
    lines = code_lines((ROOT / "README.md").read_text())
    edgesim = [line for line in lines if line.startswith("edgesim ")]
    assert edgesim
    for line in edgesim:
        check_command(line)
    scripts = {line.split()[0] for line in lines if line.startswith("scripts/")}
    assert {"scripts/demo", "scripts/test"} <= scripts
    assert all((ROOT / script).stat().st_mode & 0o111 for script in scripts)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_documents_resolve(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked.read_text()), target
