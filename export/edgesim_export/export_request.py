"""What an export is asked for."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from edgesim.profiles import DeviceProfile
from edgesim_export.auto import AUTO


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """What to export, and how.

    Attributes:
        checkpoint: `encoder.pt`, or the run folder that holds it.
        out: folder of the bundle; must not exist, unless `overwrite` is given and it holds a bundle.
        formats: of `onnx` and `tflite`.
        recipes: names or files; by default each format's own. `auto` alone tries all that the device could
            run and takes the best of each format.
        profile: the device; it must run every format, and may set a tighter limit to the files' size.
        calibration: folder of images; see `edgesim_export.calibration.find_source`.
        name: the encoder's name in the bundle; by default the one it was trained under. Part of its identity.
        overwrite: replace the bundle at `out`.
        check_wheels: ask pip's index whether the profile's device can install what it needs.
        force: write the bundle even if a gate fails.
        author, licence: what the model files say of it; empty to say nothing.
        sensitivity: folder for the report of what each layer loses; None for no such report.
    """

    checkpoint: Path
    out: Path
    formats: tuple[str, ...]
    recipes: tuple[str, ...] = ()
    profile: DeviceProfile | None = None
    calibration: Path | None = None
    name: str | None = None
    overwrite: bool = False
    check_wheels: bool = False
    force: bool = False
    author: str = ""
    licence: str = ""
    sensitivity: Path | None = None

    @property
    def run(self) -> Path:
        """The folder that the checkpoint lies in."""
        return self.checkpoint if self.checkpoint.is_dir() else self.checkpoint.parent

    @property
    def auto(self) -> bool:
        """Whether the recipes are to be found by trying."""
        return AUTO in self.recipes

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types: paths as text, the profile by name."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["profile"] = self.profile.name if self.profile else None
        return {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}
