"""Every shipped recipe, run by every engine that it is for."""

import dataclasses

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgesim.engines import ENGINES
from edgesim.metrics import l2_normalise, paired_cosine
from edgesim.models.encoder import embed_pixels, for_export
from edgesim_export.auto import opened
from edgesim_export.calibration import find_source, prepare
from edgesim_export.conversion import Conversions
from edgesim_export.recipe import load_recipe, recipe_names
from edgesim_export.weights import round_weights, second_moments
from tests.export.small import IMAGES, SPEC, small_encoder
from tests.helpers import INSTALLED_ENGINES, photo

PIXELS = np.stack([photo(seed) for seed in range(700, 712)])
EXPECTED = embed_pixels(small_encoder(), SPEC, PIXELS)
RUNS = [
    (name, engine)
    for name in recipe_names()
    for engine in INSTALLED_ENGINES
    if ENGINES[engine].model_format == load_recipe(name).format
]


@pytest.fixture(scope="module")
def conversions(folder):
    return Conversions(
        small_encoder(), SPEC, prepare(find_source(folder / "pictures", folder, 32), 32, IMAGES)
    )


def cosines(conversions, name, engine):
    """Return the cosines with the float encoder, and those of what tells the pictures apart."""
    recipe = load_recipe(name)
    with opened(SPEC, recipe.format, conversions.convert(recipe), engine) as embedder:
        actual = embedder.embed_pixels(PIXELS)
    # Random weights put all pictures into nearly one direction.
    apart, expected = (l2_normalise(e - EXPECTED.mean(axis=0)) for e in (actual, EXPECTED))
    return paired_cosine(actual, EXPECTED).min(), paired_cosine(apart, expected).mean()


@pytest.mark.parametrize(("name", "engine"), RUNS)
def test_the_device_computes_what_pytorch_does(conversions, name, engine):
    recipe = load_recipe(name)
    worst, apart = cosines(conversions, name, engine)
    if recipe.engines and engine not in recipe.engines:
        # Why the recipe names its engines.
        assert apart < 0.5
    else:
        assert worst > (0.999999 if recipe.mode == "float" else 0.999)
        assert apart > (0.9999 if recipe.mode == "float" else 0.85)


def test_bytes_of_weights(conversions):
    sizes = {name: len(conversions.convert(load_recipe(name)).content) for name in recipe_names()}
    weights = sum(parameter.numel() for parameter in small_encoder().parameters() if parameter.ndim > 1)
    for small, large, bits in [
        ("tflite_float16", "tflite_float32", 16),
        ("tflite_weights_w8a32_pc", "tflite_float32", 24),
        ("onnx_weights_w8a32_pc", "onnx_float32", 24),
    ]:
        # Of 32 bits for each weight, so many are saved; operators and scales take some of it back.
        assert sizes[large] - sizes[small] < weights * bits / 8


def test_a_layer_that_is_kept_has_its_weights_as_they_were_and_the_others_are_rounded(conversions):
    recipe = dataclasses.replace(load_recipe("onnx_weights_w8a32_pc"), keep_float=("stages.3.conv",))
    model = onnx.load_from_string(conversions.convert(recipe).content)
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    original, rounded = for_export(small_encoder()), for_export(small_encoder())
    pictures = conversions._images(recipe.calibration_images)
    round_weights(rounded, second_moments(rounded, pictures), 127)
    kept = original.get_parameter("stages.3.conv.weight").detach().numpy()
    assert not np.array_equal(kept, rounded.get_parameter("stages.3.conv.weight").detach().numpy())
    np.testing.assert_array_equal(stored["stages.3.conv.weight"], kept)
    other = rounded.get_parameter("stages.4.conv.weight").detach().numpy()
    scales = stored["stages.4.conv.weight_scale"].reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(stored["stages.4.conv.weight_quantized"] * scales, other, atol=1e-6)
