"""Recipes: the shipped ones, a user's own, and what is refused."""

import json

import pytest

from edgesim.errors import UsageError
from edgesim_export.recipe import load_recipe, recipe_names, select_recipes
from tests.export.small import write_recipe

SHIPPED = ["onnx_static_w8a8_pc", "tflite_static_w8a8_pc"]


def refusal(function, *arguments):
    with pytest.raises(UsageError) as caught:
        function(*arguments)
    return str(caught.value)


def test_the_shipped_recipes():
    assert recipe_names() == SHIPPED
    onnx, tflite = map(load_recipe, SHIPPED)
    assert (onnx.format, onnx.weights, onnx.activations, onnx.reduce_range) == ("onnx", "int8", "uint8", True)
    assert (tflite.format, tflite.weights, tflite.activations) == ("tflite", "int8", "int8")
    assert (onnx.weight_levels, tflite.weight_levels) == (64, 127)
    assert tflite.gates.float_ops_allowed == ()
    for recipe in (onnx, tflite):
        assert recipe.gates.max_bytes == 1_000_000
        assert recipe.calibration_images == 200


def test_a_recipe_is_plain_json():
    recipe = load_recipe(SHIPPED[0])
    values = json.loads(json.dumps(recipe.to_dict()))
    assert values == recipe.to_dict()
    assert values["name"] == SHIPPED[0]
    assert values["gates"]["float_ops_allowed"] == ["Gelu", "Pad", "ReduceMean"]


def test_an_unknown_recipe_names_the_nearest():
    message = refusal(load_recipe, "onnx_static_w8a8")
    assert message == "unknown recipe 'onnx_static_w8a8'; did you mean 'onnx_static_w8a8_pc'?"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("reduce_range", "reduced_range", "unknown key 'reduced_range'; did you mean 'reduce_range'?"),
        ("max_bytes", "max_byte", "gates: unknown key 'max_byte'; did you mean 'max_bytes'?"),
        ('weights = "int8"\n', "", "lacks the key 'weights'"),
        ("cosine_mean_min = 0.995\n", "", "gates: lacks the key 'cosine_mean_min'"),
        ("[gates]", "[gate]", "unknown key 'gate'; did you mean 'gates'?"),
        (
            "max_bytes = 1_000_000",
            "max_bytes = 1e6",
            "gates: max_bytes: expected a whole number, got 1000000.0",
        ),
        ("reduce_range = true", "reduce_range = 1", "reduce_range: expected true or false, got 1"),
        (
            '["Gelu", "Pad", "ReduceMean"]',
            '"Gelu"',
            "gates: float_ops_allowed: expected a list of texts, got 'Gelu'",
        ),
        ('"uint8"', '"unit8"', "activations: unknown value 'unit8'; did you mean 'uint8'?"),
        ("calibration_images = 200", "calibration_images = 7", "calibration_images: 8 at least, got 7"),
        (
            'format = "onnx"',
            'format = "tflite"',
            "tflite takes activations = 'int8' and reduce_range = false only",
        ),
        (
            "[gates]",
            "[gates",
            "not TOML (Expected ']' at the end of a table declaration (at line 13, column 7))",
        ),
    ],
)
def test_a_wrong_recipe_is_refused(tmp_path, old, new, message):
    path = write_recipe(tmp_path, "onnx")
    text = (tmp_path / "onnx_static_w8a8_pc.toml").read_text()
    assert old in text
    (tmp_path / "onnx_static_w8a8_pc.toml").write_text(text.replace(old, new, 1))
    assert refusal(load_recipe, path) == f"{path}: {message}"


def test_a_whole_number_may_stand_for_a_limit(tmp_path):
    recipe = load_recipe(write_recipe(tmp_path, "onnx", cosine_worst_min="1"))
    assert type(recipe.gates.cosine_worst_min) is float


def test_no_such_file():
    message = refusal(load_recipe, "nowhere/own.toml")
    assert message == "nowhere/own.toml: cannot be read (No such file or directory)"


def test_each_format_has_its_recipe(tmp_path):
    assert {key: r.name for key, r in select_recipes(("onnx", "tflite"), ()).items()} == {
        "onnx": SHIPPED[0],
        "tflite": SHIPPED[1],
    }
    own = write_recipe(tmp_path, "tflite", calibration_images="50")
    chosen = select_recipes(("onnx", "tflite"), [own])
    assert (chosen["onnx"].calibration_images, chosen["tflite"].calibration_images) == (200, 50)


def test_recipes_that_do_not_fit_the_formats():
    message = refusal(select_recipes, ("onnx",), [SHIPPED[1]])
    assert message == "recipe tflite_static_w8a8_pc makes tflite, but --format is onnx"
    message = refusal(select_recipes, ("onnx",), [SHIPPED[0], SHIPPED[0]])
    assert message == "two recipes for onnx: onnx_static_w8a8_pc and onnx_static_w8a8_pc"
