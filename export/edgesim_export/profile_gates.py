"""The gates of a device's profile: memory, latency, operators, and what can be installed there.

Each passes, fails, or says why it was not measured here. The limit of the file size is in `validate`.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path

from edgesim.bundle import Bundle
from edgesim.engines import ENGINES
from edgesim.errors import InputError, MissingDependencyError, UsageError
from edgesim.machine import Machine, other_machine, read_machine
from edgesim.model_spec import ModelSpec
from edgesim.profiles import DeviceProfile
from edgesim_export.converted import ConvertedModel
from edgesim_export.device_probe import Probe, ProbeError, open_probe
from edgesim_export.engine_operators import Verdict, judge
from edgesim_export.kit.pip import download_wheels
from edgesim_export.kit.target import Target
from edgesim_export.proof import stage
from edgesim_export.validate import Gate

# Downloads the wheels of some packages for a target into a folder: `edgesim_export.kit.pip.download_wheels`.
Downloader = Callable[[Target, tuple[str, ...], Path], None]
# What every device needs beside its engine.
_PACKAGES = ("numpy", "pillow", "tqdm")


def measure_models(
    spec: ModelSpec, models: dict[str, ConvertedModel], profile: DeviceProfile, *, check_wheels: bool
) -> list[Gate]:
    """Return the gates of a profile for freshly converted models, by format; see `measure_profile`.

    With `check_wheels` pip's index is asked.
    """
    download = download_wheels if check_wheels else None
    with tempfile.TemporaryDirectory(prefix="edgesim-export-") as folder:
        return measure_profile(stage(Path(folder) / "bundle", spec, models), profile, download)


def measure_profile(bundle: Bundle, profile: DeviceProfile, download: Downloader | None = None) -> list[Gate]:
    """Return the gates of a profile for every model file of a bundle.

    Args:
        bundle: the models.
        profile: the device.
        download: how the package index is asked; None to leave it alone.
    """
    here = read_machine()
    verdicts = {
        engine: judge(bundle, engine) for engine in profile.engines if _format(engine) in bundle.models
    }
    gates = []
    for model_format in bundle.models:
        engines = [engine for engine in verdicts if _format(engine) == model_format]
        gates.append(_operators(model_format, {engine: verdicts[engine] for engine in engines}))
        gates.append(_wheels(model_format, engines, profile, download))
    with open_probe(bundle, profile.index_entries) as probe:
        for model_format in bundle.models:
            engine = next(engine for engine in verdicts if _format(engine) == model_format)
            gates += _costs(model_format, engine, verdicts[engine], profile, here, probe)
    return gates


def _format(engine: str) -> str:
    return ENGINES[engine].model_format


def _operators(model_format: str, verdicts: dict[str, Verdict]) -> Gate:
    """The preferred engine must run the model; of the others it is told which do."""
    preferred, *_ = verdicts
    running = [engine for engine, verdict in verdicts.items() if verdict.runs]
    return Gate(
        gate="operators",
        model=model_format,
        value=None if verdicts[preferred].runs is None else ", ".join(running) or "none",
        limit=preferred,
        passed=verdicts[preferred].runs,
        note="; ".join(verdict.reason for verdict in verdicts.values()),
    )


def _wheels(
    model_format: str, engines: list[str], profile: DeviceProfile, download: Downloader | None
) -> Gate:
    """Every Python of the device must get wheels of one engine, and of what edgesim needs beside it."""
    found, notes, unknown = [], [], False
    for python in profile.python:
        targets = [Target(profile=profile, python=python, engine=engine) for engine in engines]
        installable, note = _installable(targets, download)
        unknown = unknown or installable is None
        found += [python] if installable else []
        notes.append(note)
    return Gate(
        gate="wheels",
        model=model_format,
        value=None if unknown else ", ".join(found) or "none",
        limit=", ".join(profile.python),
        passed=None if unknown else len(found) == len(profile.python),
        note=_joined(profile.python, notes),
    )


def _joined(pythons: tuple[str, ...], notes: list[str]) -> str:
    if len(set(notes)) == 1:
        return notes[0]
    return "; ".join(f"{python}: {note}" for python, note in zip(pythons, notes, strict=True))


def _installable(targets: list[Target], download: Downloader | None) -> tuple[bool | None, str]:
    """Return whether one of the targets can be installed, None if that is not known, and what or why."""
    possible = [t for t in targets if ENGINES[t.engine].has_wheels(t.profile.architecture, t.python)]
    if not possible:
        return False, f"no wheels of {', '.join(target.engine for target in targets)}"
    if download is None:
        return None, "the package index was not asked, pass --check-wheels"
    if possible[0].profile.architecture == "armv7l":
        # The index has none there, but Raspberry Pi's own and the distribution do.
        return None, "on armv7l numpy and Pillow come from the distribution"
    reasons = []
    for target in possible:
        with tempfile.TemporaryDirectory(prefix="edgesim-wheels-") as folder:
            try:
                download(target, _PACKAGES, Path(folder))
            except UsageError as error:
                reasons.append(str(error))
            except (InputError, MissingDependencyError) as error:
                return None, str(error)
            else:
                return True, ", ".join(_versions(Path(folder), (ENGINES[target.engine].package, *_PACKAGES)))
    return False, "; ".join(reasons)


def _versions(folder: Path, packages: tuple[str, ...]) -> list[str]:
    """Return name and version of each of the packages whose wheels lie in a folder."""
    versions = {}
    for wheel in folder.glob("*.whl"):
        name, version, *_ = wheel.name.split("-")
        versions[name.lower().replace("_", "-")] = version
    return [f"{name} {versions[name]}" for name in packages if name in versions]


def _costs(
    model_format: str, engine: str, verdict: Verdict, profile: DeviceProfile, here: Machine, probe: Probe
) -> list[Gate]:
    """Return the gates of memory and latency; the latter is measured on such a device only."""
    elsewhere = other_machine(here, profile)
    memory = Gate(
        gate="peak_memory",
        model=model_format,
        value=None,
        limit=profile.ram_budget_mb,
        passed=None,
        note=verdict.reason,
    )
    latency = dataclasses.replace(
        memory, gate="latency", limit=profile.latency_budget_ms, note=elsewhere or verdict.reason
    )
    if not verdict.loaded:
        return [memory, latency]
    try:
        measured = probe.run(engine, timed=elsewhere is None)
    except ProbeError as error:
        return [dataclasses.replace(memory, value="no answer", passed=False, note=str(error)), latency]
    note = (
        f"{engine} {measured.engine_version} on {here.architecture}, {profile.index_entries} entries, "
        f"{measured.search} search"
    )
    return [
        _measured(memory, measured.peak_mib, note),
        latency if measured.median_ms is None else _measured(latency, measured.median_ms, note),
    ]


def _measured(gate: Gate, value: float, note: str) -> Gate:
    return dataclasses.replace(gate, value=round(value, 1), passed=value <= float(gate.limit), note=note)
