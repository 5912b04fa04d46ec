"""`--recipe auto`, from the recipes that a device can run to the bundle."""

import dataclasses

import pytest

from edgesim.bundle import Bundle
from edgesim.errors import MissingDependencyError, UsageError
from edgesim.profiles import load_profile
from edgesim.runtime.embedder import Embedder
from edgesim_export import auto
from edgesim_export.auto import candidates, interleaved_times
from edgesim_export.export_request import ExportRequest
from edgesim_export.pipeline import export_bundle
from edgesim_export.recipe import load_recipe
from tests.export.small import write_recipe

PI = load_profile("pi-4b")
LITERT = dataclasses.replace(PI, engines=("litert",))


def names(formats, profile=None):
    return [recipe.name for recipe in candidates(formats, profile)]


def test_the_recipes_of_the_formats():
    assert names(("onnx",)) == [
        "onnx_float32",
        "onnx_static_w8a8_pc",
        "onnx_static_w8a8_pc_p9999",
        "onnx_static_w8a8_pt",
        "onnx_weights_w8a32_pc",
    ]
    assert len(names(("onnx", "tflite"))) == 12


def test_a_recipe_that_one_of_the_devices_engines_computes_wrong_is_not_tried():
    assert "tflite_dynamic_w8a8_pc" in names(("tflite",), LITERT)
    assert "tflite_dynamic_w8a8_pc" not in names(("tflite",), PI)


def test_no_engine_of_the_device_is_installed(monkeypatch):
    monkeypatch.setattr(auto, "available_engines", lambda: ["onnxruntime"])
    with pytest.raises(MissingDependencyError) as caught:
        candidates(("tflite",), LITERT)
    assert str(caught.value) == (
        "no engine is installed to measure with, of those for tflite that profile pi-4b runs: litert. "
        "Run: pip install 'edgesim[tflite]'"
    )


def test_the_clock_is_read_in_turns_and_the_first_turns_do_not_count(monkeypatch):
    class Fake:
        def __init__(self, name, cost):
            self.name, self.cost, self.calls = name, cost, 0

        def embed_pixels(self, pixels):
            order.append(self.name)
            self.calls += 1
            now[0] += 100 if self.calls <= 3 else self.cost

    now, order = [0.0], []
    monkeypatch.setattr(auto.time, "thread_time", lambda: now[0])
    assert interleaved_times([Fake("a", 1.0), Fake("b", 2.0)], None) == [1.0, 2.0]
    assert order == ["a", "b"] * 34


@pytest.fixture(scope="module")
def tried(folder, tmp_path_factory):
    """A bundle that two recipes of the user's own stand for the shipped ones in, to be quick."""
    own = tmp_path_factory.mktemp("auto")
    loose = {"calibration_images": "24", "recall_at_1_loss_max": "50.0"}
    static = load_recipe(write_recipe(own, "onnx", **loose))
    plain = dataclasses.replace(load_recipe("onnx_float32"), calibration_images=24)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgesim_export.pipeline.candidates", lambda formats, profile: [plain, static])
        request = ExportRequest(
            checkpoint=folder / "run",
            out=own / "bundle",
            formats=("onnx",),
            recipes=("auto",),
            calibration=folder / "pictures",
        )
        return export_bundle(request)


def test_the_bundle_holds_the_picked_one_and_the_table(tried):
    table = tried.recipe["auto"]["candidates"]
    assert [row["recipe"] for row in table] == ["onnx_float32", "onnx_static_w8a8_pc"]
    (picked,) = (row for row in table if row["picked"])
    assert list(tried.recipe["recipes"]) == ["onnx"]
    assert tried.recipe["recipes"]["onnx"]["name"] == picked["recipe"]
    assert Bundle.load(tried.folder).recipe == tried.recipe
    values = {gate["gate"]: gate["value"] for gate in tried.gates}
    assert (values["cosine_mean"], values["cosine_worst"]) == (picked["cosine_mean"], picked["cosine_worst"])
    # The table's bytes are those of the file without what it says of itself.
    assert 0 < values["bytes"] - picked["bytes"] < 2000
    assert table[0]["cosine_mean"] == 1.0 > table[1]["cosine_mean"] > 0.99
    assert Embedder(tried).self_test() > 0.9999


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"recipes": ("auto", "onnx_float32")},
            "--recipe auto chooses by itself; pass no other recipe with it",
        ),
        (
            {"recipes": ("tflite_dynamic_w8a8_pc",), "formats": ("tflite",), "profile": PI},
            "recipe tflite_dynamic_w8a8_pc is computed right by litert only, but profile pi-4b runs litert, "
            "onnxruntime, tflite-runtime; choose another recipe",
        ),
        (
            {"recipes": ("auto",), "profile": LITERT},
            "profile pi-4b runs litert: no engine for onnx; use --format tflite",
        ),
    ],
)
def test_what_cannot_be_asked_for(folder, tmp_path, options, message):
    request = ExportRequest(
        **{"checkpoint": folder / "run", "out": tmp_path / "b", "formats": ("onnx",), **options}
    )
    with pytest.raises(UsageError) as caught:
        export_bundle(request)
    assert str(caught.value) == message
