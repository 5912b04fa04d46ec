"""What each layer loses, against exports that exclude it by other means."""

import json

import numpy as np
import onnxruntime
import pytest
import torch

from edgesim.errors import UsageError
from edgesim.models.encoder import embed_pixels, for_export
from edgesim.preprocess import normalise
from edgesim_export.calibration import find_source, prepare
from edgesim_export.conversion import Conversions
from edgesim_export.recipe import load_recipe
from edgesim_export.sensitivity import LayerLoss, Loss, Sensitivity
from edgesim_export.sensitivity_page import sensitivity_chart, sensitivity_page
from edgesim_export.sensitivity_report import check_sensitivity_folder, write_sensitivity
from edgesim_export.weights import round_weights, second_moments
from tests.export.small import IMAGES, SPEC, channels_first, small_encoder, write_recipe

WEIGHTS = load_recipe("onnx_weights_w8a32_pc")


@pytest.fixture(scope="module")
def data(folder):
    return prepare(find_source(folder / "pictures", folder, 32), 32, IMAGES)


@pytest.fixture(scope="module")
def report(folder, data, tmp_path_factory):
    """Two models: one with int8 weights alone, whose losses PyTorch can tell, and the usual one."""
    own = tmp_path_factory.mktemp("sensitivity")
    static = load_recipe(write_recipe(own, "onnx", calibration_images=str(IMAGES)))
    conversions = Conversions(small_encoder(), SPEC, data)
    expected = embed_pixels(small_encoder(), SPEC, data.references)
    out = own / "report"
    write_sensitivity(out, conversions, SPEC, [WEIGHTS, static], expected, data, lambda step: None)
    return out


@pytest.fixture(scope="module")
def models(report):
    return json.loads((report / "sensitivity.json").read_text())["models"]


def losses(raw, data):
    """Return 1 - cosine of each embedding with that of the float encoder, in float64 throughout."""
    with torch.no_grad():
        expected = small_encoder()(channels_first(normalise(data.references, SPEC))).double().numpy()
    raw = np.asarray(raw, dtype=np.float64)
    lengths = np.linalg.norm(raw, axis=1) * np.linalg.norm(expected, axis=1)
    return 1 - (raw * expected).sum(axis=1) / lengths


def loss_of(encoder, data):
    with torch.no_grad():
        return losses(encoder(channels_first(normalise(data.references, SPEC))).numpy(), data).mean()


def test_losses_of_weights_are_those_that_pytorch_has_with_the_same_weights(data, models):
    rounded = for_export(small_encoder())
    pictures = normalise(data.calibration[: WEIGHTS.calibration_images], SPEC)
    round_weights(rounded, second_moments(rounded, pictures), 127)
    rows = {row["layer"]: row for row in models[0]["layers"]}
    assert models[0]["whole"]["mean"] == pytest.approx(loss_of(rounded, data), rel=0.02)
    name = "stages.3.conv"
    for kind in ("alone", "kept"):
        mixed = for_export(small_encoder())
        for layer, parameter in mixed.named_parameters():
            if (layer == f"{name}.weight") == (kind == "alone") and layer.endswith("weight"):
                parameter.data.copy_(rounded.get_parameter(layer))
        assert rows[name][kind]["mean"] == pytest.approx(loss_of(mixed, data), rel=0.02)
    # Nothing but weights is rounded, and GELU has none.
    assert rows["stages.1.activation"]["alone"]["mean"] < 1e-12


def test_losses_of_the_whole_are_those_of_the_export_and_what_is_saved_is_the_difference(data, models):
    (static,) = (model for model in models if model["recipe"] == "onnx_static_w8a8_pc")
    assert (static["format"], static["engine"]) == ("onnx", "onnxruntime")
    assert static["pictures"] == len(data.references)
    recipe = load_recipe("onnx_static_w8a8_pc")
    content = Conversions(small_encoder(), SPEC, data).convert(recipe).content
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    raw = session.run(None, {"images": channels_first(normalise(data.references, SPEC)).numpy()})[0]
    found = losses(raw, data)
    assert static["whole"]["mean"] == pytest.approx(found.mean(), rel=0.01)
    assert static["whole"]["worst"] == pytest.approx(found.max(), rel=0.01)
    for row in static["layers"]:
        assert row["saved"]["mean"] == static["whole"]["mean"] - row["kept"]["mean"]
    # Each part loses less than the whole.
    assert 0 < max(row["alone"]["mean"] for row in static["layers"]) < static["whole"]["mean"]


def loss(value):
    return Loss(mean=value, worst=2 * value)


SMALL = Sensitivity(
    recipe="r",
    format="onnx",
    engine="onnxruntime",
    pictures=3,
    whole=loss(0.003),
    layers=(
        LayerLoss(layer="a<b", operators=("Conv",), alone=loss(0.002), kept=loss(0.0031)),
        LayerLoss(layer="c", operators=("Gemm", "Add"), alone=loss(0.0), kept=loss(0.002)),
    ),
)


def test_the_page_has_a_bar_and_a_row_for_each_layer():
    page = sensitivity_page("mine & yours", [SMALL])
    assert "mine &amp; yours" in page
    assert "a&lt;b" in page
    assert "a<b" not in page
    cells = ["<td>c</td>", "<td>Gemm, Add</td>", ">0.001<", ">-0.0001<", ">0.004<"]
    assert all(cell in page for cell in cells)
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_bars_are_as_long_as_the_losses():
    chart = sensitivity_chart(SMALL)
    bars = [line for line in chart.splitlines() if line.startswith("<rect") and 'height="11"' in line]
    widths = [float(bar.split('width="')[1].split('"')[0]) for bar in bars[2:]]
    # 0.002 alone, -0.0001 saved; nothing alone, 0.001 saved; a bar of nothing is a hair line.
    assert widths[0] / widths[3] == pytest.approx(2, abs=0.01)
    assert widths[0] / widths[1] == pytest.approx(20, rel=0.02)
    assert widths[2] == 1


def test_a_recipe_that_quantises_nothing_is_said():
    page = sensitivity_page("e", [Sensitivity(**{**vars(SMALL), "layers": ()})])
    assert "This recipe quantises nothing." in page
    assert "<svg" not in page


def test_a_report_is_not_overwritten_unasked(report, tmp_path):
    check_sensitivity_folder(report, overwrite=True)
    check_sensitivity_folder(tmp_path, overwrite=False)
    with pytest.raises(UsageError) as caught:
        check_sensitivity_folder(report, overwrite=False)
    assert str(caught.value) == (
        f"--sensitivity: {report} holds a report; choose another folder or pass --overwrite"
    )
    with pytest.raises(UsageError) as caught:
        check_sensitivity_folder(report / "sensitivity.json", overwrite=True)
    assert str(caught.value) == f"--sensitivity: {report / 'sensitivity.json'} is not a folder"
