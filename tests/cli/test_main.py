"""The frame of all commands: wrong requests, output that nobody reads, and terminals of other encodings."""

import json
import subprocess
import sys

import pytest

from edgesim.bundle import Bundle
from edgesim.cli.main import main
from tests.helpers import ROOT, run_python, write_photos


def test_json_is_written_in_one_way(capsys):
    commands = ROOT / "edgesim" / "cli"
    assert [file.name for file in commands.glob("*.py") if b"json.dumps" in file.read_bytes()] == [
        "json_output.py"
    ]
    assert main(["bundle", "show", "copy", "--json"]) == 0
    printed = capsys.readouterr().out
    assert printed == json.dumps(json.loads(printed), indent=2) + "\n"


def test_an_unknown_command(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["indx"])
    assert stopped.value.code == 2
    assert "edgesim: error: argument COMMAND: invalid choice: 'indx'" in capsys.readouterr().err


def test_output_that_nobody_reads_is_no_error():
    # The reader leaves at once; the list of profiles then meets a closed pipe.
    program = (
        "import sys, time; from edgesim.cli.main import main; time.sleep(0.5); sys.exit(main(['profiles']))"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    writer.stdout.close()
    errors = writer.stderr.read()
    writer.stderr.close()
    assert (writer.wait(), errors) == (0, b"")


def test_a_path_that_the_terminal_cannot_show_is_printed_escaped(tmp_path, tiny_bundle: Bundle):
    (photo,) = write_photos(tmp_path / "photos", 1)
    photo.rename(photo.with_name("tür.png"))
    main(
        [
            "index",
            "add",
            str(tmp_path / "parts"),
            str(tmp_path / "photos"),
            "--encoder",
            str(tiny_bundle.folder),
        ]
    )
    program = f"from edgesim.cli.main import main; main(['index', 'list', {str(tmp_path / 'parts')!r}])"
    result = run_python(
        "-c", f"import sys; sys.stdout.reconfigure(encoding='ascii')\n{program}", cwd=tmp_path
    )
    assert result.stderr == ""
    assert f"{tmp_path}/photos/t\\xfcr.png" in result.stdout
