"""What converters print stays off the terminal, and is kept for the case that they fail."""

import os
import sys
import warnings

import pytest

from edgesim_export.quiet import quiet


def chatter():
    print("from print")
    print("to stderr", file=sys.stderr)
    os.write(1, b"from C on stdout\n")
    os.write(2, b"from C on stderr\n")
    warnings.warn("a warning", stacklevel=1)


def test_nothing_reaches_the_terminal(capfd):
    with quiet():
        chatter()
    print("afterwards")
    os.write(2, b"afterwards\n")
    assert capfd.readouterr() == ("afterwards\n", "afterwards\n")


@quiet()
def fail_quietly():
    chatter()
    raise ZeroDivisionError


def test_a_failure_carries_the_text(capfd):
    with pytest.raises(ZeroDivisionError) as caught:
        fail_quietly()
    (note,) = caught.value.__notes__
    for text in ("from print", "to stderr", "from C on stdout", "from C on stderr"):
        assert text in note
    assert capfd.readouterr() == ("", "")


def test_a_handler_made_inside_may_write_later(capfd):
    with quiet():
        stream = sys.stderr
    stream.write("late")
    assert capfd.readouterr() == ("", "")
