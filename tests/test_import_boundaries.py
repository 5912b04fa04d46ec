"""What importing costs and needs: the device side runs where torch, tensorflow and onnx are not installed.

The directions between the rooms are import-linter's contracts in pyproject.toml; scripts/check runs them.
"""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parent.parent

BLOCKER = """
import importlib, pkgutil, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "tensorflow", "onnx", "onnxscript", "litert_torch", "jax"}:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Blocker())
"""
EVERY_DEVICE_MODULE = """
import edgesim
for module in pkgutil.walk_packages(edgesim.__path__, "edgesim.", onerror=lambda name: None):
    if not module.name.startswith(("edgesim.models", "edgesim.training", "edgesim.__main__")):
        importlib.import_module(module.name)
        print(module.name)
from edgesim.cli.main import build_parser
build_parser()
"""
LOADED = """
import sys
print(*sorted(set(sys.modules) & {"numpy", "PIL", "sqlite3", "onnxruntime", "torch", "tqdm", "dataclasses",
    "importlib.metadata", "importlib.resources", "subprocess", "json", "hashlib", "tempfile"}))
"""
# What a query has no use for, with a built-in encoder and without a filter, in a small index that is neither
# calibrated nor of a key model.
UNNEEDED = {
    "calibrations": {"edgesim.thresholds", "edgesim.runtime.scoring", "edgesim.runtime.normalisation"},
    "filters": {"edgesim.runtime.label_filter"},
    "search graphs": {"hnswlib", "edgesim.runtime.graph_cache", "edgesim.runtime.live_graph"},
    "settings of search graphs": {"edgesim.runtime.graph_settings"},
    "changes": {"edgesim.runtime.ingest", "edgesim.runtime.selection", "edgesim.bundle_writing", "tempfile"},
    "key models": {"edgesim.runtime.keys"},
    "figures": {"edgesim.runtime.index_stats"},
    "bundles from elsewhere": {"edgesim.trust", "edgesim.runtime.bundle_store"},
    "models from elsewhere": {"edgesim.runtime.onnx_structure", "edgesim.runtime.tflite_structure"},
    "self-tests": {"zipfile"},
}


def run_python(code):
    """Run code in a new interpreter that sees this tree; returns what it printed."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "export")))}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def contracts():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def test_every_device_module_imports_without_torch_tensorflow_and_onnx():
    imported = run_python(BLOCKER + EVERY_DEVICE_MODULE)
    rooms = {name.split(".")[1] for name in imported}
    assert {"bundle", "builtin", "cli", "errors", "preprocess", "profiles", "runtime"} <= rooms
    assert not {"models", "training"} & rooms


def test_importing_edgesim_imports_nothing_heavy():
    assert run_python("import edgesim" + LOADED) == []


def test_the_parser_of_all_commands_imports_nothing_heavy():
    assert run_python("from edgesim.cli.main import build_parser; build_parser()" + LOADED) == []


def test_the_help_page_is_complete_without_the_commands_modules():
    code = """
import sys
from edgesim.cli.main import build_parser
page = build_parser(()).format_help()
print(*sorted(name for name in sys.modules if name.startswith("edgesim")))
assert page == build_parser().format_help()
"""
    assert run_python(code) == ["edgesim", "edgesim.cli", "edgesim.cli.main", "edgesim.errors"]


def test_decoding_a_photo_imports_the_decoder_of_its_format_only(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (32, 32)).save(path)
    code = f"""
import sys
from pathlib import Path
from edgesim.preprocess import load_pixels
load_pixels(Path({str(path)!r}), 8)
print(*sorted(name for name in sys.modules if name.startswith("PIL.") and name.endswith("Plugin")))
"""
    assert run_python(code) == ["PIL.JpegImagePlugin"]


def test_a_query_imports_nothing_that_only_other_indexes_bundles_and_commands_need(tmp_path):
    """Milliseconds on a small device, each time."""
    path = tmp_path / "photo.png"
    Image.new("RGB", (32, 32)).save(path)
    command = f"""
import sys
from edgesim.cli.main import main
def edgesim(*arguments):
    assert main([*arguments, {str(tmp_path / "index")!r}, {str(path)!r}]) == 0
"""
    run_python(command + 'edgesim("index", "add")')
    printed = run_python(command + 'edgesim("query"); print("imported:", *sys.modules)')
    imported = set(printed[printed.index("imported:") + 1 :])
    assert {"edgesim.runtime.matcher", "edgesim.runtime.search", "edgesim.runtime.stored_scoring"} <= imported
    for what, modules in UNNEEDED.items():
        assert not imported & modules, what


def test_every_floor_is_under_the_contracts():
    """A new module directly below edgesim/ must be named in both contracts about the floors."""
    modules = {f"edgesim.{path.stem}" for path in (ROOT / "edgesim").glob("[!_]*.py")}
    device_side, floors = (
        set(contract["source_modules"])
        for contract in contracts()
        if "edgesim.names" in contract["source_modules"]
    )
    assert modules <= device_side
    assert modules - floors == {"edgesim.demo"}
