"""From a checkpoint to a bundle, through the device's own code."""

import dataclasses
import json

import numpy as np
import onnx
import pytest
import torch

from edgesim.bundle import Bundle
from edgesim.errors import BundleError, UsageError
from edgesim.metrics import l2_normalise
from edgesim.model_spec import PREPROCESS_VERSION
from edgesim.preprocess import load_pixels, normalise
from edgesim.profiles import load_profile
from edgesim.runtime.embedder import Embedder
from edgesim.training.checkpoint import save_encoder, weights_sha256
from edgesim_export import pipeline
from edgesim_export.calibration import find_source, prepare
from edgesim_export.export_request import ExportRequest
from edgesim_export.golden import golden_images
from edgesim_export.model_card import model_card
from edgesim_export.pipeline import export_bundle
from edgesim_export.validate import Gate, GatesFailedError
from tests.export.small import IMAGES, SPEC, channels_first, small_encoder, write_recipe
from tests.helpers import photo

ENGINES = ["onnxruntime", "litert", "tflite-runtime"]
# A board whose index takes no time to make.
PROFILE = dataclasses.replace(load_profile("pi-4b"), index_entries=100)


@pytest.fixture
def converters_forbidden(monkeypatch):
    """Make a conversion fail: what is refused, is refused before it."""
    monkeypatch.setattr(pipeline, "graph_class", lambda name: pytest.fail("a converter was loaded"))


def export(checkpoint, out, progress=lambda step: None, **options):
    """Export to ONNX alone, which is quick."""
    request = ExportRequest(checkpoint=checkpoint, out=out, formats=("onnx",), **options)
    return export_bundle(request, progress)


def refusal(error, *arguments, **options):
    with pytest.raises(error) as caught:
        export(*arguments, **options)
    return str(caught.value)


def test_the_bundle_is_complete(bundle):
    loaded = Bundle.load(bundle.folder)
    assert loaded == bundle
    assert sorted(path.name for path in bundle.folder.iterdir()) == [
        "golden.npz",
        "manifest.json",
        "model.onnx",
        "model.tflite",
        "model_card.md",
    ]
    assert bundle.spec == SPEC
    assert bundle.encoder_id == SPEC.encoder_id(weights_sha256(small_encoder()))
    facts = {key: {k: v for k, v in of.items() if k != "cost"} for key, of in bundle.models.items()}
    assert facts == {
        "onnx": {
            "file": "model.onnx",
            "bytes": bundle.model_path("onnx").stat().st_size,
            "quantisation": "static: int8 weights per channel, gptq, 7 bits used; uint8 activations",
        },
        "tflite": {
            "file": "model.tflite",
            "bytes": bundle.model_path("tflite").stat().st_size,
            "quantisation": "static: int8 weights per channel, gptq; int8 activations",
        },
    }


def test_the_bundle_says_how_it_was_made(bundle):
    assert bundle.recipe["profile"] is None
    assert bundle.recipe["recipes"]["onnx"]["reduce_range"] is True
    assert bundle.recipe["calibration"]["source"] == "pictures"
    assert bundle.recipe["calibration"]["calibration_images"] == IMAGES
    assert set(bundle.made_by) == {
        "edgesim",
        "numpy",
        "pillow",
        "torch",
        "onnx",
        "onnxruntime",
        "litert-torch",
        "ai-edge-quantizer",
        "ai-edge-litert",
    }
    assert "/" not in json.dumps([bundle.recipe, bundle.made_by, bundle.models])


def test_every_gate_was_measured_for_both_models(bundle):
    names = ["bytes", "cosine_mean", "cosine_worst", "recall_at_1_loss", "float_operators"]
    assert [(g["model"], g["gate"]) for g in bundle.gates] == [
        (model, name) for model in ("onnx", "tflite") for name in names
    ]
    assert all(gate["passed"] for gate in bundle.gates)
    values = {(g["model"], g["gate"]): g["value"] for g in bundle.gates}
    assert values["tflite", "float_operators"] == "none"
    assert values["onnx", "float_operators"] == "Gelu, Pad, ReduceMean"
    assert min(values["onnx", "cosine_worst"], values["tflite", "cosine_worst"]) > 0.999


@pytest.mark.parametrize(("model", "engine"), [("onnx", "onnxruntime"), ("tflite", "litert")])
def test_gates_hold_what_the_device_computes_on_the_held_out_images(folder, bundle, model, engine):
    data = prepare(find_source(folder / "pictures", folder, 32), 32, IMAGES)

    def recall_at_1(references, queries):
        hits = [np.argmax(references @ query) == row for query, row in zip(queries, data.truth, strict=True)]
        return 100 * sum(hits) / len(hits)

    def embed_float(pixels):
        with torch.no_grad():
            return small_encoder().embed(channels_first(normalise(pixels, SPEC))).numpy()

    int8 = [Embedder(bundle, engine).embed_pixels(pixels) for pixels in (data.references, data.queries)]
    exact = [embed_float(pixels) for pixels in (data.references, data.queries)]
    cosines = (int8[0] * exact[0]).sum(axis=1)
    values = {gate["gate"]: gate["value"] for gate in bundle.gates if gate["model"] == model}
    assert values["bytes"] == bundle.model_path(model).stat().st_size
    assert values["cosine_mean"] == pytest.approx(cosines.mean(), abs=1e-5)
    assert values["cosine_worst"] == pytest.approx(cosines.min(), abs=1e-5)
    assert values["cosine_worst"] < 1.0
    loss = recall_at_1(*exact) - recall_at_1(*int8)
    assert values["recall_at_1_loss"] == pytest.approx(loss, abs=1e-3)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_device_computes_what_pytorch_does(bundle, engine):
    pixels = np.stack([photo(seed) for seed in range(700, 712)])
    actual = Embedder(bundle, engine).embed_pixels(pixels)
    with torch.no_grad():
        expected = small_encoder()(channels_first(normalise(pixels, SPEC))).numpy()
    expected = l2_normalise(expected)
    assert (actual * expected).sum(axis=1).min() > 0.9998
    # Random weights put all pictures into nearly one direction; what tells them apart is the small rest.
    apart, expected_apart = (l2_normalise(e - expected.mean(axis=0)) for e in (actual, expected))
    assert (apart * expected_apart).sum(axis=1).mean() > 0.95


@pytest.mark.parametrize("engine", ENGINES)
def test_golden_images_are_reproduced(bundle, engine):
    embedder = Embedder(bundle, engine)
    assert embedder.self_test() > 0.9999
    stored, golden = bundle.golden("onnx" if engine == "onnxruntime" else "tflite")
    assert stored == golden_images()
    if engine != "tflite-runtime":  # whose kernels round a little differently
        computed = np.stack([embedder.embed_image(image) for image in stored])
        np.testing.assert_allclose(computed, golden, atol=1e-6)


def test_the_golden_embeddings_are_those_of_the_encoder(bundle):
    stored, golden = bundle.golden("tflite")
    pixels = np.stack([load_pixels(image, 32) for image in stored])
    with torch.no_grad():
        expected = small_encoder().embed(channels_first(normalise(pixels, SPEC))).numpy()
    assert (expected * golden).sum(axis=1).min() > 0.999


def test_an_encoder_without_a_card_gets_one_that_says_what_is_known(bundle):
    card = (bundle.folder / "model_card.md").read_text()
    assert card.startswith(f"# small ({bundle.encoder_id})\n")
    assert "- Trained on: not recorded\n" in card
    assert "- tflite float_operators: none (limit none)\n" in card


def test_again_the_same_bytes_and_with_a_profile_and_a_card(folder, bundle, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "encoder.pt").write_bytes((folder / "run" / "encoder.pt").read_bytes())
    (run / "model_card.md").write_text("# Mine\n")
    again = export(
        run / "encoder.pt",
        tmp_path / "again",
        recipes=(str(folder / "onnx_static_w8a8_pc.toml"),),
        profile=PROFILE,
        calibration=folder / "pictures",
        name="parts-2",
    )
    # The file says the encoder's name; what it computes is the same to the bit.
    graphs = [onnx.load(one.model_path("onnx")).graph for one in (again, bundle)]
    assert graphs[0].SerializeToString() == graphs[1].SerializeToString()
    assert list(again.models) == ["onnx"]
    assert again.recipe["profile"] == "pi-4b"
    assert (again.folder / "model_card.md").read_text() == "# Mine\n"
    assert again.spec.name == "parts-2"
    assert again.encoder_id != bundle.encoder_id


def write_strict_recipe(folder, **changes):
    """Write a recipe whose size nothing keeps to; the loss is free, of the 48 copies one is 2 points."""
    return write_recipe(
        folder, "onnx", calibration_images="8", max_bytes="1000", recall_at_1_loss_max="5.0", **changes
    )


def test_a_failing_gate_leaves_nothing(folder, tmp_path):
    strict = write_strict_recipe(tmp_path, float_ops_allowed="[]")
    with pytest.raises(GatesFailedError) as caught:
        export(
            folder / "run",
            tmp_path / "new" / "bundle",
            recipes=(strict,),
            calibration=folder / "pictures",
        )
    size = next(gate.value for gate in caught.value.gates if gate.gate == "bytes")
    report = tmp_path / "new" / "bundle.report.json"
    assert str(caught.value) == (
        f"no bundle was written, 2 of 5 gates failed: onnx bytes is {size}, the limit is 1000; "
        "onnx float_operators is Gelu, Pad, ReduceMean, the limit is none; "
        f"see {report}; --force writes the bundle all the same"
    )
    assert caught.value.report == report
    assert list((tmp_path / "new").iterdir()) == [report]
    written = json.loads(report.read_text())
    assert written["gates"] == [gate.to_dict() for gate in caught.value.gates]
    assert written["request"]["checkpoint"] == str(folder / "run")
    assert written["request"]["out"] == str(tmp_path / "new" / "bundle")
    assert written["request"]["profile"] is None
    assert written["recipe"]["recipes"]["onnx"]["gates"]["max_bytes"] == 1000
    assert written["made_by"]["onnx"] == onnx.__version__


def test_forced_the_bundle_says_what_failed_and_the_old_report_goes(folder, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "encoder.pt").write_bytes((folder / "run" / "encoder.pt").read_bytes())
    (run / "model_card.md").write_text("# Mine\n")
    (tmp_path / "bundle.report.json").write_text("{}")
    strict = write_strict_recipe(tmp_path)
    forced = export(run, tmp_path / "bundle", recipes=(strict,), calibration=folder / "pictures", force=True)
    assert not (tmp_path / "bundle.report.json").exists()
    failed = [gate for gate in Bundle.load(tmp_path / "bundle").gates if gate["passed"] is False]
    size = forced.model_path("onnx").stat().st_size
    assert [(gate["gate"], gate["value"]) for gate in failed] == [("bytes", size)]
    assert (forced.folder / "model_card.md").read_text() == (
        "# Mine\n\n## Failed gates\n\n"
        "This bundle was written with --force although it fails what was asked of it:\n\n"
        f"- onnx bytes: {size} (limit 1000)\n"
    )
    Embedder(forced).self_test()


def test_a_card_made_by_the_export_names_failed_gates_and_passes_over_the_unmeasured(tmp_path):
    gates = [
        Gate(gate="bytes", model="onnx", value=2, limit=1, passed=False),
        Gate(gate="latency", model="onnx", value=None, limit=5, passed=None, note="elsewhere"),
    ]
    card = model_card(tmp_path, SPEC, "0123", 7, gates)
    assert card.count("- onnx bytes: 2 (limit 1)\n") == 2
    assert card.endswith("fails what was asked of it:\n\n- onnx bytes: 2 (limit 1)\n")
    assert "latency" not in card


def test_the_gates_of_a_profile_are_measured_too(folder, tmp_path):
    # A smaller file than the recipe asks for, and no process with an engine in it stays below 10 MiB.
    profile = dataclasses.replace(PROFILE, ram_budget_mb=10, model_bytes_max=5000)
    with pytest.raises(GatesFailedError) as caught:
        export(
            folder / "run",
            tmp_path / "bundle",
            recipes=(write_recipe(tmp_path, "onnx", calibration_images="8", recall_at_1_loss_max="50.0"),),
            calibration=folder / "pictures",
            profile=profile,
        )
    found = {gate.gate: gate for gate in caught.value.gates}
    assert list(found)[5:] == ["operators", "wheels", "peak_memory", "latency"]
    assert (found["operators"].value, found["operators"].passed) == ("onnxruntime", True)
    assert (found["wheels"].passed, found["latency"].passed) == (None, None)
    assert found["peak_memory"].value > 20
    assert (found["bytes"].limit, found["bytes"].passed) == (5000, False)
    assert [gate.gate for gate in caught.value.gates if gate.passed is False] == ["bytes", "peak_memory"]
    assert json.loads(caught.value.report.read_text())["request"]["profile"] == "pi-4b"


@pytest.mark.usefixtures("converters_forbidden")
def test_an_index_that_cannot_fit_is_refused_before_the_work(folder, tmp_path):
    # 16 numbers of 4 bytes: 10,000,000 of them are 610.4 MiB.
    profile = dataclasses.replace(PROFILE, index_entries=10_000_000)
    assert refusal(UsageError, folder / "run", tmp_path / "out", profile=profile) == (
        "profile pi-4b: index_entries: 10000000 vectors of 16 numbers alone take 610 MiB, "
        "ram_budget_mb = 250; lower the one or raise the other"
    )


@pytest.mark.usefixtures("converters_forbidden")
def test_wheels_without_a_device_to_check_them_for(folder, tmp_path):
    message = refusal(UsageError, folder / "run", tmp_path / "out", check_wheels=True)
    assert message == "--check-wheels asks for a device's wheels; say which device with --profile"


@pytest.mark.usefixtures("converters_forbidden")
def test_a_bundle_that_is_there_is_kept(folder, bundle, tmp_path):
    message = refusal(BundleError, folder / "run", bundle.folder)
    assert message == f"{bundle.folder}: already exists; choose another folder or pass --overwrite"
    # Not a bundle: not even with --overwrite.
    message = refusal(BundleError, folder / "run", tmp_path, overwrite=True)
    assert message == f"{tmp_path}: already exists; choose another folder or pass --overwrite"


@pytest.mark.usefixtures("converters_forbidden")
def test_a_profile_that_cannot_run_the_format(folder, tmp_path):
    profile = dataclasses.replace(load_profile("pi-4b"), engines=("tflite-runtime", "litert"))
    message = refusal(UsageError, folder / "run", tmp_path / "out", profile=profile)
    assert message == "profile pi-4b runs tflite-runtime, litert: no engine for onnx; use --format tflite"


@pytest.mark.usefixtures("converters_forbidden")
def test_a_name_that_no_file_should_have(folder, tmp_path):
    message = refusal(UsageError, folder / "run", tmp_path / "out", name="my encoder")
    assert message == "--name: expected letters, digits, '.', '_' and '-', got 'my encoder'"


@pytest.mark.usefixtures("converters_forbidden")
def test_an_encoder_of_another_preprocessing(tmp_path):
    spec = dataclasses.replace(SPEC, preprocess_version=PREPROCESS_VERSION + 1)
    save_encoder(tmp_path / "encoder.pt", small_encoder(), spec)
    message = refusal(BundleError, tmp_path, tmp_path / "out")
    assert message == (
        f"{tmp_path}: trained with preprocessing version {PREPROCESS_VERSION + 1}, this edgesim has version "
        f"{PREPROCESS_VERSION}; train it again"
    )


@pytest.mark.usefixtures("converters_forbidden")
def test_no_such_checkpoint(tmp_path):
    message = refusal(BundleError, tmp_path / "gone", tmp_path / "out")
    assert message == f"{tmp_path / 'gone'}: no such checkpoint; make one with: edgesim train"


def test_progress_is_told(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "_convert", lambda *_: pytest.fail("reached"))
    told = []
    with pytest.raises(pytest.fail.Exception, match="reached"):
        export(
            folder / "run",
            tmp_path / "out",
            calibration=folder / "pictures",
            progress=told.append,
        )
    assert told == ["choosing calibration images", "loading the converters"]
