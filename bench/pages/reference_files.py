"""What `edgesim bench` measured on boards themselves: bench/reference/<profile>.json, one file a board."""

from __future__ import annotations

from pathlib import Path

from edgesim.bench_report import BenchReport, read_bench_report
from edgesim.errors import InputError, UsageError
from edgesim.machine import other_machine
from edgesim.profiles import DeviceProfile, load_profile

REFERENCE = Path(__file__).parents[1] / "reference"
_HOW = "bench/reference/README.md says how a file is made"
# A Raspberry Pi's firmware keeps some of the memory to itself: a quarter at most, as for best_profile.
_MEMORY_SEEN = 0.75


def read_references(encoder_id: str, folder: Path = REFERENCE) -> dict[str, BenchReport]:
    """Return the reports by the name of their profile; see `read_reference`."""
    return {path.stem: read_reference(path, encoder_id) for path in sorted(folder.glob("*.json"))}


def read_reference(path: Path, encoder_id: str) -> BenchReport:
    """Read a file of figures that were measured on the board that it is named after.

    Args:
        path: of the file, `<profile>.json`.
        encoder_id: of the encoder that the figures must be of.

    Raises:
        InputError: not what `edgesim bench --json` prints, an estimate for example; or measured on another
            board, with another profile, or with another encoder.
    """
    report = read_bench_report(path)
    try:
        profile = load_profile(path.stem)
    except UsageError as error:
        raise InputError(f"{path}: {error}; {_HOW}") from error
    if report.profile != profile.name:
        raise InputError(
            f"{path}: measured with --profile {report.profile}, expected {profile.name}, its name; {_HOW}"
        )
    if reason := _other_board(report, profile):
        raise InputError(f"{path}: not measured on a {profile.title}: {reason}; {_HOW}")
    if report.bundle.encoder_id != encoder_id:
        raise InputError(
            f"{path}: measured with the encoder {report.bundle.name} ({report.bundle.encoder_id}), expected "
            f"{encoder_id}; measure it again, or remove the file"
        )
    return report


def _other_board(report: BenchReport, profile: DeviceProfile) -> str | None:
    """Return what shows that the machine of a report is not the board, or None."""
    machine = report.machine
    if reason := other_machine(machine, profile):
        return reason
    # Boards of the same core are told apart by these.
    if machine.cores != profile.cores:
        return f"this machine has {machine.cores} cores, the device {profile.cores}"
    if machine.memory_mb < _MEMORY_SEEN * profile.ram_mb:
        return f"this machine has {machine.memory_mb} MiB of memory, the device {profile.ram_mb} or more"
    return None
