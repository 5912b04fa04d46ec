"""What the checks on ARM read and lay out: cores, prefixes, counts, memory, answers. Nothing is emulated."""

import subprocess
import sys

import bench_arm_machine
import numpy as np
import pytest
from arm import comparison, counting, in_guest, memory, pictures, root, vectors
from arm.cores import ARM64_CORES, CORES, lay_prefix
from arm.guest import Guest

from edgesim.machine import parse_cpuinfo
from edgesim.profiles import load_profile, profile_names
from edgesim.runtime.embedder import open_bundle
from edgesim.runtime.index import Index

A53, A76 = CORES["cortex-a53"], CORES["cortex-a76"]


def test_the_cores_are_those_of_the_shipped_profiles():
    emulated = {parse_cpuinfo(core.cpuinfo()) for core in ARM64_CORES}
    profiles = map(load_profile, profile_names())
    boards = {(profile.core, profile.features) for profile in profiles if profile.architecture == "aarch64"}
    assert emulated == boards


def test_every_core_of_the_chip_is_described():
    files = A53.system_files()
    assert files["proc/cpuinfo"].count("CPU part\t: 0xd03\n") == 4
    assert "asimddp" not in files["proc/cpuinfo"]
    assert files["sys/devices/system/cpu/possible"] == "0-3\n"
    assert files["sys/devices/system/cpu/cpu3/cpufreq/cpuinfo_max_freq"] == "1000000\n"


def test_a_prefix_shows_the_root_with_the_core_s_own_system_files(tmp_path):
    unpacked = tmp_path / "root"
    for name in ("usr/bin", "proc", "dev"):
        (unpacked / name).mkdir(parents=True)
    (unpacked / "usr/bin/python3.11").write_text("a program")
    (unpacked / "proc/cpuinfo").write_text("the root's")
    for _ in range(2):  # laid again, it stays as it is
        prefix = lay_prefix(unpacked, A76, tmp_path / "prefix")
    assert (prefix / "usr/bin/python3.11").read_text() == "a program"
    assert "0xd0b" in (prefix / "proc/cpuinfo").read_text()
    assert (unpacked / "proc/cpuinfo").read_text() == "the root's"
    assert not (prefix / "dev").exists()


def test_a_launcher_passes_its_arguments_on(tmp_path, monkeypatch):
    program = tmp_path / "qemu-aarch64"
    program.write_text("#!/bin/sh\nprintf '%s|' \"$@\"\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    guest = Guest(core=A53, prefix=tmp_path / "a prefix", python=tmp_path / "python")
    launcher = guest.write_launcher(tmp_path / "launcher")
    printed = subprocess.run([launcher, "-c", "two words"], capture_output=True, text=True, check=True).stdout
    assert printed == f"-cpu|cortex-a53|-L|{tmp_path}/a prefix|{tmp_path}/python|-c|two words|"


def test_a_failing_guest_says_what_it_ran_and_why(tmp_path, monkeypatch):
    program = tmp_path / "qemu-aarch64"
    program.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    guest = Guest(core=A53, prefix=tmp_path, python=tmp_path / "python")
    with pytest.raises(RuntimeError, match=r"^cortex-a53: -c pass ended with status 3: broken$"):
        guest.run("-c", "pass")


def test_only_cores_with_sha_instructions_let_openssl_use_them(tmp_path):
    def environment(core):
        return Guest(core=core, prefix=tmp_path, python=tmp_path).environment()

    assert environment(A53)["OPENSSL_armcap"] == "1"
    assert "OPENSSL_armcap" not in environment(A76)


def test_a_span_lasts_from_a_mark_to_the_next(tmp_path):
    path = tmp_path / "marks"
    path.write_text("1 100 0\n2 130 7\n4 150 9\n1 200 9\n2 260 11\n-1 300 11\n")
    marks = counting.read_marks(path)
    assert marks[-1] == counting.Mark(counting.END, 300, 11)
    assert counting.spans(marks, 1, 2) == [counting.Mark(2, 30, 7), counting.Mark(2, 60, 2)]
    assert counting.spans(marks, 1, 4) == []


def test_plugin_and_program_agree_on_the_mark():
    assert f"#define MARK {hex(in_guest.MARK)}u\n" in counting.SOURCE.read_text()


def test_a_mark_changes_nothing_outside_the_emulator():
    in_guest.mark(in_guest.DONE)


def test_only_what_lies_in_the_guest_s_window_is_its_memory():
    base = memory.WINDOW_BASE
    smaps = f"""\
7f0000000000-7f0000001000 rw-p 00000000 00:00 0
Rss:                1000 kB
{base:x}-{base + 4096:x} r-xp 00000000 08:01 7 /usr/bin/python3.11
Size:                  8 kB
Rss:                   4 kB
Pss:                   2 kB
{base + memory.WINDOW_SIZE - 4096:x}-{base + memory.WINDOW_SIZE:x} rw-p 00000000 00:00 0
Rss:                  20 kB
{base + memory.WINDOW_SIZE:x}-{base + memory.WINDOW_SIZE + 4096:x} rw-p 00000000 00:00 0
Rss:                 300 kB
"""
    assert memory.resident_kib(smaps.splitlines()) == 24


def test_a_failed_program_is_no_measurement():
    with pytest.raises(RuntimeError, match=r"ended with status 3$"):
        memory.measure([sys.executable, "-c", "raise SystemExit(3)"], {})


def test_embeddings_are_compared_to_the_bit_or_by_their_angle():
    host = np.array([[1, 0], [0.6, 0.8]], dtype=np.float32)
    same = comparison.agreement(host.copy(), host)
    assert (same.equal, same.lowest_cosine, same.largest_difference) == (2, 1.0, 0.0)
    guest = host.copy()
    guest[0] = [np.cos(0.1), np.sin(0.1)]
    other = comparison.agreement(guest, host)
    assert other.equal == 1
    assert other.lowest_cosine == pytest.approx(np.cos(0.1), abs=1e-6)
    assert other.largest_difference == pytest.approx(np.sin(0.1), abs=1e-6)


@pytest.mark.parametrize(
    ("engine", "same_version", "equal", "cosine", "holds"),
    [
        ("litert", True, 9, 1.0, False),
        ("litert", True, 10, 1.0, True),
        ("onnxruntime", False, 9, 0.99, True),
        ("tflite-runtime", True, 0, 0.98, True),
        ("tflite-runtime", True, 0, 0.96, False),
        ("tflite-runtime", True, 0, float("nan"), False),
    ],
)
def test_bit_equality_is_asked_of_the_engines_that_promise_it(engine, same_version, equal, cosine, holds):
    same = comparison.Agreement(count=10, equal=equal, lowest_cosine=cosine, largest_difference=0.0)
    assert same.holds(engine, same_version) is holds


def test_pictures_are_many_different_and_the_same_again(tmp_path):
    first = pictures.write_pictures(tmp_path / "a", 100)
    again = pictures.write_pictures(tmp_path / "b", 12)
    contents = [path.read_bytes() for path in first]
    assert contents[:12] == [path.read_bytes() for path in again]
    # More than there are photographs and edits.
    assert len(set(contents)) == 100


def test_a_large_index_finds_the_one_that_was_put_first(tmp_path):
    bundle = open_bundle("copy")
    wanted = np.zeros(bundle.spec.embedding_dim, dtype=np.float32)
    wanted[0] = 1
    with Index.open(vectors.write_index(tmp_path / "index", bundle, 300, wanted), read_only=True) as index:
        assert len(index) == 300
        best, second = index.search(wanted, 2)
    assert (best.path, best.similarity) == (vectors.FIRST_PATH, 1.0)
    assert second.similarity < 0.5


def test_what_a_killed_unpacking_leaves_is_no_user_space(tmp_path, monkeypatch):
    def dying(command, **options):
        (command[-2] / "usr").mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(root, "archive_address", lambda: "http://archive.invalid/debian")
    monkeypatch.setattr(subprocess, "run", dying)
    with pytest.raises(KeyboardInterrupt):
        root.unpacked_root(tmp_path, "bookworm", "arm64", ("dash",))
    assert list(tmp_path.iterdir()) == []


def test_a_user_space_is_unpacked_once_for_a_list_of_packages(tmp_path, monkeypatch):
    unpacked = []

    def unpacking(command, **options):
        unpacked.append(command[4])
        (command[-2] / "usr" / "lib").mkdir(parents=True)

    monkeypatch.setattr(root, "archive_address", lambda: "http://archive.invalid/debian")
    monkeypatch.setattr(subprocess, "run", unpacking)
    lists = [("dash",), ("dash",), ("dash", "python3.11")]
    folders = [root.unpacked_root(tmp_path, "trixie", "arm64", packages) for packages in lists]
    assert unpacked == ["--include=dash", "--include=dash,python3.11"]
    assert folders[0] == folders[1] != folders[2]
    # Of a release whose /usr is merged by a script, which is not run.
    assert (folders[0] / "lib").readlink().name == "lib"


def test_the_machine_s_lines_are_read():
    lines = [
        "MemTotal:         486000 kB",
        "MemAvailable:     430000 kB",
        "installed: /opt/edgesim/bin/edgesim",
        "query            rank  similarity  path",
        f"/job/camera.jpg  1     1.0000      {vectors.FIRST_PATH}",
        "/job/camera.jpg  1     0.9000      /srv/photos/000001.jpg",
        'measured {"name": "query", "available_kib": 7, "runs": []}',
        "status 0",
        "killed 1",
        "",
    ]
    assert bench_arm_machine.read_lines(lines) == {
        "total_kib": 486000,
        "available_kib": 430000,
        "answers": 1,
        "measured": {"query": {"available_kib": 7, "runs": []}},
        "status": 0,
        "killed": 1,
    }
