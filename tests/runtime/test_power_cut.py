"""An update is cut off before each of its steps: the old bundle is in use, or the new one, never neither."""

import json
import re
import shutil
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from edgesim.runtime import updates
from edgesim.runtime.self_test import SelfTest
from tests.helpers import run_python, write_tiny_bundle

KINDS = ["everything", "no data", "synced", "full"]
NOTHING = "work/store: nothing is installed there; run: edgesim bundle install BUNDLE --into work/store"
# Before, and after the update: `tiny-2` was in use before `tiny-0`, and `tiny-1` is new.
SCENARIOS = {"install": ("tiny-0", "tiny-1"), "first": (NOTHING, "tiny-1"), "rollback": ("tiny-0", "tiny-2")}
# Making a folder, five files and the state, each synced; a rollback makes the state only.
STEPS_AT_LEAST = {"install": 15, "first": 15, "rollback": 5}


@pytest.fixture(scope="module", params=SCENARIOS)
def scenario(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def results(scenario: str, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What tests/runtime/power_cut.py has found."""
    folder = tmp_path_factory.mktemp(scenario)
    for seed, name in enumerate(("old", "new", "older")):
        write_tiny_bundle(folder / name, seed)
    (folder / "start").mkdir()
    if scenario != "first":
        with pytest.MonkeyPatch.context() as patched:
            passed = SelfTest(engine="none", engine_version="1", lowest_cosine=1.0)
            patched.setattr(updates, "run_self_test", lambda location: passed)
            updates.install(folder / "older", folder / "start" / "store")
            updates.install(folder / "old", folder / "start" / "store")
    program = Path(__file__).with_name("power_cut.py")
    done = run_python(program, ".", scenario, cwd=folder, OPENBLAS_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    shutil.rmtree(folder / "work")
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("kind", KINDS)
def test_the_old_bundle_or_the_new_one(scenario: str, results: list[dict[str, Any]], kind: str) -> None:
    *interrupted, last = [result for result in results if result["kind"] == kind]
    old, new = SCENARIOS[scenario]
    assert last["message"].startswith("done in ")
    assert [result["step"] for result in interrupted] == list(range(1, last["step"]))
    if kind == "full":
        # As soon as no more room is needed, it comes through. Where room ends between the switch and the
        # syncing of its folder, there is none to go back either; a first installation is undone without any.
        names = [result["left"] for result in interrupted]
        known = [old] if scenario == "first" else [old, new]
        assert ({result["status"] for result in interrupted}, [name for name, _ in groupby(names)]) == (
            {0},
            known,
        )
        assert last["left"] == new
        return
    assert last["step"] > STEPS_AT_LEAST[scenario]
    assert {result["status"] for result in interrupted} == {9}
    # First always the old one, from some step on always the new one.
    assert [left for left, _ in groupby([*interrupted, last], key=lambda result: result["left"])] == [
        old,
        new,
    ]


def test_the_next_update_comes_through_whatever_was_left(results: list[dict[str, Any]]) -> None:
    assert {result["next"] for result in results} == {"tiny-1"}


def test_a_full_disk_is_named_and_nothing_half_is_left(scenario: str, results: list[dict[str, Any]]) -> None:
    interrupted = [result for result in results if result["kind"] == "full"][:-1]
    before, new = [] if scenario == "first" else ["1", "2"], SCENARIOS[scenario][1]
    for result in interrupted:
        assert re.match(r"8 (work/store\S*|/\S+/work): cannot be written \(No space left", result["message"])
        if result["left"] == new:
            assert f"; work/store now holds {new} (" in result["message"]
        else:
            assert result["versions"] == before
    kept = "; nothing was installed" if scenario == "first" else "; work/store still holds tiny-0 ("
    assert [kept in result["message"] for result in interrupted if result["left"] != new][-1]
