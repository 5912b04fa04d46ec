"""Device profiles: the shipped ones, and what is refused in a user's own."""

import tomllib
from importlib import resources

import pytest

from edgesim.engines import ENGINES
from edgesim.errors import UsageError
from edgesim.profiles import DeviceProfile, load_profile, profile_names
from tests.helpers import ROOT

NAMES = [
    *("pi-3b-plus", "pi-4b", "pi-5", "pi-zero-2w", "pi-zero-2w-32bit"),
    *("shopfloor-x86", "shopfloor-x86-avx2"),
]
PI_4B = (resources.files("firmware_profiles") / "pi-4b.toml").read_text()


def own_profile(tmp_path, old="", new=""):
    """Write pi-4b.toml with one change as a file of the user's own; returns its path."""
    assert old in PI_4B
    path = tmp_path / "own.toml"
    path.write_text(PI_4B.replace(old, new, 1))
    return str(path)


def refusal(name_or_path):
    with pytest.raises(UsageError) as caught:
        load_profile(name_or_path)
    return str(caught.value)


def test_the_shipped_profiles():
    assert profile_names() == NAMES
    loaded = {name: load_profile(name) for name in NAMES}
    facts = {name: (p.cores, p.clock_mhz, p.ram_mb, p.architecture, p.features) for name, p in loaded.items()}
    assert facts == {
        "pi-3b-plus": (4, 1400, 1024, "aarch64", ("neon",)),
        "pi-4b": (4, 1500, 1024, "aarch64", ("neon",)),
        "pi-5": (4, 2400, 4096, "aarch64", ("neon", "dotprod", "fp16")),
        "pi-zero-2w": (4, 1000, 512, "aarch64", ("neon",)),
        "pi-zero-2w-32bit": (4, 1000, 512, "armv7l", ("neon",)),
        "shopfloor-x86": (4, 1920, 2048, "x86_64", ("sse4.2",)),
        "shopfloor-x86-avx2": (4, 3400, 4096, "x86_64", ("sse4.2", "avx", "avx2")),
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_a_source_and_the_budgets_are_ours(name):
    profile = load_profile(name)
    values = tomllib.loads((resources.files("firmware_profiles") / f"{name}.toml").read_text())
    assert set(profile.sources) == set(values) - {"title", "sources"}
    assert all(profile.sources.values())
    for budget in ("model_bytes_max", "ram_budget_mb", "latency_budget_ms", "index_entries"):
        assert profile.sources[budget].startswith("our choice")


@pytest.mark.parametrize("name", NAMES)
def test_the_budgets_leave_room_on_the_device(name):
    profile = load_profile(name)
    assert profile.model_bytes_max == 1_000_000
    assert profile.ram_budget_mb <= profile.ram_mb / 4


def test_formats_follow_the_order_of_the_engines():
    assert load_profile("pi-4b").formats == ("tflite", "onnx")
    assert load_profile("shopfloor-x86").formats == ("onnx", "tflite")


def test_a_file_of_the_users_own(tmp_path):
    profile = load_profile(own_profile(tmp_path, "cores = 4", "cores = 2"))
    assert isinstance(profile, DeviceProfile)
    assert (profile.name, profile.cores, profile.title) == ("own", 2, "Raspberry Pi 4 Model B")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("cores = 4", "cors = 4", "unknown key 'cors'; did you mean 'cores'?"),
        ("cores = 4\n", "", "lacks the key 'cores'"),
        ("cores = 4", 'cores = "4"', "cores: expected a whole number, got '4'"),
        ("cores = 4", "cores = true", "cores: expected a whole number, got True"),
        ("cores = 4", "cores = 0", "cores: expected a text or a number above 0, got 0"),
        ('soc = "BCM2711"', "soc = 2711", "soc: expected a text, got 2711"),
        ('["neon"]', '"neon"', "features: expected a list of texts, got 'neon'"),
        ('["neon"]', '["neom"]', "features: unknown value 'neom'; did you mean 'neon'?"),
        ('"aarch64"', '"arm64"', "architecture: unknown value 'arm64'; did you mean 'aarch64'?"),
        ('"litert", ', '"tflite", ', "engines: unknown value 'tflite'; did you mean 'litert'?"),
        ('os = "rasp', 'oss = "rasp', "sources: unknown key 'oss'; did you mean 'os'?"),
        ('soc = "rasp', '# soc = "rasp', "no source for 'soc'; add it to [sources]"),
        ('soc = "rasp', 'soc = 7 # "rasp', "sources: expected a table of texts, got {'soc': 7, "),
    ],
)
def test_a_profile_that_breaks_the_schema_is_refused(tmp_path, old, new, message):
    path = own_profile(tmp_path, old, new)
    assert refusal(path).startswith(f"{path}: {message}")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "ram_budget_mb = 250",
            "ram_budget_mb = 1025",
            "ram_budget_mb: 1025 MiB is more than the device has, ram_mb = 1024",
        ),
        (
            "latency_budget_ms = 150",
            "latency_budget_ms = 0",
            "latency_budget_ms: expected a text or a number above 0, got 0",
        ),
        (
            "model_bytes_max = 1_000_000",
            "model_bytes_max = 9_999",
            "model_bytes_max: no encoder fits into 9999 bytes, expected 10000 at least",
        ),
        (  # 4,096,001 vectors of 16 float32 are 64 bytes more than 250 MiB.
            "index_entries = 100_000",
            "index_entries = 4_096_001",
            "index_entries: 4096001 vectors of 16 numbers alone take 250 MiB, ram_budget_mb = 250; lower the "
            "one or raise the other",
        ),
        (
            'engines = ["litert", "onnxruntime", "tflite-runtime"]',
            'engines = ["tflite-runtime"]',
            "engines: for Python 3.13 on aarch64 there are no wheels of tflite-runtime; name another engine, "
            "or leave that Python out",
        ),
        (
            '"aarch64"',
            '"armv7l"',
            "engines: for Python 3.13 on armv7l there are no wheels of litert, onnxruntime, tflite-runtime; "
            "name another engine, or leave that Python out",
        ),
        ('["3.11", "3.13"]', '["3.9"]', "python: edgesim needs 3.11 or newer, got '3.9'"),
        ('["3.11", "3.13"]', '["3"]', "python: expected a version such as '3.11' or '2.36', got '3'"),
        (
            '["3.11", "3.13"]',
            '["3.11.2"]',
            "python: expected a version such as '3.11' or '2.36', got '3.11.2'",
        ),
        ('["3.11", "3.13"]', "[]", "python: expected one at least, got an empty list"),
        ('"2.36"', '"bookworm"', "glibc: expected a version such as '3.11' or '2.36', got 'bookworm'"),
    ],
)
def test_a_profile_that_nothing_can_hold_is_refused(tmp_path, old, new, message):
    path = own_profile(tmp_path, old, new)
    assert refusal(path) == f"{path}: {message}"


def test_budgets_that_are_just_possible(tmp_path):
    assert load_profile(own_profile(tmp_path, "ram_budget_mb = 250", "ram_budget_mb = 1024")).ram_mb == 1024
    profile = load_profile(own_profile(tmp_path, "index_entries = 100_000", "index_entries = 4_096_000"))
    assert profile.index_entries == 4_096_000
    profile = load_profile(own_profile(tmp_path, "model_bytes_max = 1_000_000", "model_bytes_max = 10_000"))
    assert profile.model_bytes_max == 10_000
    # Python 3.11 alone is what tflite-runtime has wheels for, on 32 bits too.
    path = own_profile(tmp_path, '["3.11", "3.13"]', '["3.11"]')
    text = (tmp_path / "own.toml").read_text().replace('"aarch64"', '"armv7l"')
    (tmp_path / "own.toml").write_text(text)
    assert load_profile(path).architecture == "armv7l"


def test_engines_ask_pip_for_the_versions_that_edgesim_declares():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["tflite"]]
    names = {line.partition(";")[0].strip() for line in declared}
    for engine in ENGINES.values():
        assert set(engine.requirements) <= names


def test_a_file_that_is_not_toml(tmp_path):
    path = own_profile(tmp_path, "cores = 4", "cores")
    assert refusal(path).startswith(f"{path}: not TOML (")
    assert refusal(path).count("\n") == 0


def test_names_and_paths_that_do_not_exist():
    assert refusal("pi4") == "unknown profile 'pi4'; did you mean 'pi-4b'?"
    assert refusal("toaster") == f"unknown profile 'toaster'; known: {', '.join(NAMES)}"
    assert refusal("no/such") == "no/such: cannot be read (No such file or directory)"
