"""The self-test in a process of its own: its result, its refusals, and every way in which it may die."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from edgesim.bundle import Bundle
from edgesim.errors import BundleError, MissingDependencyError
from edgesim.runtime import self_test
from edgesim.runtime.self_test import SelfTest, run_self_test


def test_it_passes_whatever_lies_in_the_working_directory(
    tmp_path: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("json", "numpy", "edgesim", "onnxruntime"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('a stranger was imported')\n")
    monkeypatch.chdir(tmp_path)
    result = run_self_test(tiny_bundle.folder)
    assert (result.engine, result.engine_version) == ("onnxruntime", onnxruntime.__version__)
    assert result.lowest_cosine == pytest.approx(1.0, abs=1e-6)


def test_a_refusal_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative, and called like a built-in encoder: it is the folder that is tested."""
    monkeypatch.chdir(tmp_path)
    Path("copy").mkdir()
    with pytest.raises(BundleError) as caught:
        run_self_test(Path("copy"))
    assert str(caught.value) == (
        f"{tmp_path / 'copy'}: not a bundle, manifest.json cannot be read (No such file or directory); "
        "make one with: edgesim export"
    )


def dying(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let the process do something else than the self-test."""
    monkeypatch.setattr(self_test, "COMMAND", (sys.executable, "-c", f"import os, sys, time\n{code}"))


def test_the_result_is_read_below_whatever_an_engine_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    result = '{"engine": "litert", "engine_version": "2.3.0", "lowest_cosine": 0.99}'
    dying(monkeypatch, f"print('INFO: a delegate'); print('''{result}''')")
    assert run_self_test(Path("b")) == SelfTest(engine="litert", engine_version="2.3.0", lowest_cosine=0.99)


@pytest.mark.parametrize("number", [signal.SIGILL, signal.SIGSEGV, signal.SIGKILL])
def test_a_crash(monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    dying(monkeypatch, f"os.kill(os.getpid(), {int(number)})")
    with pytest.raises(BundleError) as caught:
        run_self_test(Path("b"))
    assert str(caught.value) == f"b: self-test failed, the inference engine crashed with {number.name}"


def test_a_process_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dying(monkeypatch, f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)")
    monkeypatch.setattr(self_test, "TIMEOUT_S", 1)
    with pytest.raises(BundleError) as caught:
        run_self_test(Path("b"))
    assert str(caught.value) == "b: self-test failed, it took longer than 1 s"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_process_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_test, "COMMAND", ("/nowhere/python",))
    with pytest.raises(BundleError) as caught:
        run_self_test(Path("b"))
    assert str(caught.value) == "b: self-test failed, it cannot be started (No such file or directory)"


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ("print('b: no engine', file=sys.stderr); sys.exit(6)", MissingDependencyError, "b: no engine"),
        ("raise MemoryError('too large')", BundleError, "MemoryError: too large"),
        ("sys.exit(1)", BundleError, "no message"),
    ],
)
def test_a_failure_is_one_line(
    monkeypatch: pytest.MonkeyPatch, code: str, error: type[Exception], message: str
) -> None:
    dying(monkeypatch, code)
    with pytest.raises(error) as caught:
        run_self_test(Path("b"))
    assert type(caught.value) is error
    assert str(caught.value) == message


def test_the_command_fails_as_a_program_of_its_own(tmp_path: Path) -> None:
    done = subprocess.run(
        [*self_test.COMMAND, str(tmp_path / "none")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert done.stdout == ""
    assert done.stderr.startswith(f"{tmp_path / 'none'}: no such folder, and not one of copy, similar;")
