"""Recipes: the shipped ones, a user's own, and what is refused."""

import dataclasses
import json
import re

import pytest

from edgesim.errors import UsageError
from edgesim_export.recipe import load_recipe, recipe_names, select_recipes
from tests.export.small import write_recipe

SHIPPED = [
    "onnx_float32",
    "onnx_static_w8a8_pc",
    "onnx_static_w8a8_pc_p9999",
    "onnx_static_w8a8_pt",
    "onnx_weights_w8a32_pc",
    "tflite_dynamic_w8a8_pc",
    "tflite_float16",
    "tflite_float32",
    "tflite_static_w8a8_pc",
    "tflite_static_w8a8_pc_p9999",
    "tflite_static_w8a8_pt",
    "tflite_weights_w8a32_pc",
]
ONNX, TFLITE = "onnx_static_w8a8_pc", "tflite_static_w8a8_pc"


def refusal(function, *arguments):
    with pytest.raises(UsageError) as caught:
        function(*arguments)
    return str(caught.value)


def test_the_shipped_recipes():
    assert recipe_names() == SHIPPED
    onnx, tflite = map(load_recipe, (ONNX, TFLITE))
    assert (onnx.format, onnx.weights, onnx.activations, onnx.reduce_range) == ("onnx", "int8", "uint8", True)
    assert (tflite.format, tflite.weights, tflite.activations) == ("tflite", "int8", "int8")
    assert (onnx.weight_levels, tflite.weight_levels) == (64, 127)
    assert tflite.gates.float_ops_allowed == ()
    for recipe in (onnx, tflite):
        assert recipe.gates.max_bytes == 1_000_000
        assert recipe.calibration_images == 200


def decoded(name):
    """Return what a name says, by the key in export/README.md."""
    pattern = (
        r"(?P<format>onnx|tflite)_(?:float(?P<float>\d\d)|(?P<mode>static|dynamic|weights)"
        r"_w(?P<w>\d+)a(?P<a>\d+)_p(?P<p>[ct])(?:_p(?P<percentile>\d{3,}))?)"
    )
    parts = re.fullmatch(pattern, name).groupdict()
    if parts["float"]:
        return {"format": parts["format"], "mode": "float", "weights": f"float{parts['float']}"}
    digits = parts["percentile"]
    return {
        "format": parts["format"],
        "mode": parts["mode"],
        "weights": f"int{parts['w']}",
        "activation_bits": parts["a"],
        "granularity": {"c": "per_channel", "t": "per_tensor"}[parts["p"]],
        "percentile": float(f"{digits[:2]}.{digits[2:]}") if digits else 100.0,
    }


@pytest.mark.parametrize("name", SHIPPED)
def test_a_name_says_what_is_in_the_file(name):
    recipe = load_recipe(name)
    said = decoded(name)
    if "activation_bits" in said:
        assert recipe.activations.endswith(f"{said.pop('activation_bits')}")
    assert {key: getattr(recipe, key) for key in said} == said
    assert (recipe.calibration == "percentile") == (recipe.percentile < 100)
    if recipe.mode == "float":
        assert recipe.activations == "float32"


def test_descriptions():
    assert load_recipe("tflite_float16").description == "float16 weights"
    assert load_recipe("tflite_dynamic_w8a8_pc").description == (
        "dynamic: int8 weights per channel, gptq; int8 activations"
    )
    kept = dataclasses.replace(load_recipe("onnx_static_w8a8_pc_p9999"), keep_float=("embedding", "Conv"))
    assert kept.description == (
        "static: int8 weights per channel, gptq, 7 bits used; uint8 activations, percentile 99.99; "
        "in float: embedding, Conv"
    )


def test_a_float_recipe_says_nothing_of_what_it_does_not_do():
    assert sorted(load_recipe("onnx_float32").to_dict()) == [
        *("activations", "calibration_images", "engines", "format", "gates", "name", "weights")
    ]


def test_a_recipe_is_plain_json():
    recipe = load_recipe(ONNX)
    values = json.loads(json.dumps(recipe.to_dict()))
    assert values == recipe.to_dict()
    assert values["name"] == ONNX
    assert values["gates"]["float_ops_allowed"] == ["Gelu", "Pad", "ReduceMean"]


def test_an_unknown_recipe_names_the_nearest():
    message = refusal(load_recipe, "onnx_statc_w8a8_pc")
    assert message == "unknown recipe 'onnx_statc_w8a8_pc'; did you mean 'onnx_static_w8a8_pc'?"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("reduce_range", "reduced_range", "unknown key 'reduced_range'; did you mean 'reduce_range'?"),
        ("max_bytes", "max_byte", "gates: unknown key 'max_byte'; did you mean 'max_bytes'?"),
        ('weights = "int8"\n', "", "lacks the key 'weights'"),
        (
            'rounding = "gptq"\n',
            "",
            "lacks the key 'rounding', which weights = 'int8' and activations = 'uint8' needs",
        ),
        (
            'activations = "uint8"',
            'activations = "float32"',
            "the key 'reduce_range' has no meaning with weights = 'int8' and activations = 'float32'; "
            "leave it out",
        ),
        (
            '"min_max"',
            '"percentile"',
            "lacks the key 'percentile', which weights = 'int8' and activations = 'uint8' needs",
        ),
        (
            '"min_max"',
            '"percentile"\npercentile = 50',
            "percentile: expected more than 50 and 100 at most, got 50",
        ),
        (
            'rounding = "gptq"',
            'rounding = "gptq"\npercentile = 99',
            "the key 'percentile' has no meaning with weights = 'int8' and activations = 'uint8'; "
            "leave it out",
        ),
        (
            'weights = "int8"',
            'weights = "float16"',
            "weights = 'float16' goes with activations = 'float32' only",
        ),
        (
            '"uint8"',
            '"dynamic_int8"',
            "onnx takes activations of int8, uint8, float32 only, got 'dynamic_int8'",
        ),
        ('rounding = "gptq"', 'rounding = "gptq"\nengines = ["litert"]', "engines: litert does not run onnx"),
        (
            'rounding = "gptq"',
            'rounding = "gptq"\nkeep_float = "Conv"',
            "keep_float: expected a list of texts, got 'Conv'",
        ),
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
            "tflite takes reduce_range = false only",
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
        "onnx": f"{ONNX}_p9999",
        "tflite": f"{TFLITE}_p9999",
    }
    own = write_recipe(tmp_path, "tflite", calibration_images="50")
    chosen = select_recipes(("onnx", "tflite"), [own])
    assert (chosen["onnx"].calibration_images, chosen["tflite"].calibration_images) == (200, 50)


def test_recipes_that_do_not_fit_the_formats():
    message = refusal(select_recipes, ("onnx",), [TFLITE])
    assert message == "recipe tflite_static_w8a8_pc makes tflite, but --format is onnx"
    message = refusal(select_recipes, ("onnx",), [ONNX, ONNX])
    assert message == "two recipes for onnx: onnx_static_w8a8_pc and onnx_static_w8a8_pc"
