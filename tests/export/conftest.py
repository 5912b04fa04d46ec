"""One export to both formats for all tests of the room: a conversion to TFLite takes seconds."""

from pathlib import Path

import pytest

from edgesim.bundle import Bundle
from edgesim_export.export_request import ExportRequest
from edgesim_export.pipeline import export_bundle
from tests.export.small import IMAGES, write_checkpoint, write_recipe
from tests.helpers import write_photos


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds `run` (a checkpoint), `pictures` and the two recipes."""
    folder = tmp_path_factory.mktemp("export")
    write_checkpoint(folder / "run")
    write_photos(folder / "pictures", 2 * IMAGES)
    for model_format in ("onnx", "tflite"):
        write_recipe(folder, model_format, calibration_images=str(IMAGES))
    return folder


@pytest.fixture(scope="session")
def bundle(folder: Path) -> Bundle:
    request = ExportRequest(
        checkpoint=folder / "run",
        out=folder / "bundle",
        formats=("onnx", "tflite"),
        recipes=tuple(str(folder / f"{name}_static_w8a8_pc.toml") for name in ("onnx", "tflite")),
        calibration=folder / "pictures",
    )
    return export_bundle(request)
