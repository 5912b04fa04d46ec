"""What each layer of an encoder loses by int8, so that one sees which to keep in float.

Two questions for each layer, each answered by a model file of its own, run by the device's own code:

- `alone`: what the embeddings lose if this layer alone is int8;
- `kept`: what they still lose if all but this layer are; the difference to the whole file's loss is what
  naming the layer in `keep_float` saves.

Loss is 1 - cosine between the embeddings of the held-out pictures by that file and by the float encoder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.model_spec import ModelSpec
from edgesim_export.auto import installed_engines, opened
from edgesim_export.calibration import CalibrationData
from edgesim_export.conversion import Conversions
from edgesim_export.converted import ConvertedModel
from edgesim_export.layers import layer_names, select
from edgesim_export.recipe import Recipe


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss:
    """1 - cosine over the held-out pictures.

    Attributes:
        mean: of all of them.
        worst: of the picture that loses most.
    """

    mean: float
    worst: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerLoss:
    """What one layer loses.

    Attributes:
        layer: its name, as `keep_float` takes it.
        operators: types of its operators, each once.
        alone: with this layer alone in int8.
        kept: with all but this layer in int8.
    """

    layer: str
    operators: tuple[str, ...]
    alone: Loss
    kept: Loss


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """The losses of all layers by one recipe.

    Attributes:
        recipe: its name.
        format: `onnx` or `tflite`.
        engine: what the files were run by.
        pictures: how many were held out.
        whole: with everything in int8 that the recipe makes so.
        layers: in the order of execution; none if the recipe quantises nothing.
    """

    recipe: str
    format: str
    engine: str
    pictures: int
    whole: Loss
    layers: tuple[LayerLoss, ...]

    def saved(self, row: LayerLoss) -> Loss:
        """Return how much less the whole file loses with a layer in float."""
        return Loss(mean=self.whole.mean - row.kept.mean, worst=self.whole.worst - row.kept.worst)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, what each layer saves among them."""
        layers = [
            {**dataclasses.asdict(row), "saved": dataclasses.asdict(self.saved(row))} for row in self.layers
        ]
        return {**dataclasses.asdict(self), "layers": layers}


def loss_between(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> Loss:
    """Return 1 - cosine of the rows of two arrays (R, D), L2-normalised.

    As half the squared distance, which is the same for them: 1 - cosine itself would drown the small losses
    of single layers in the rounding of float32.
    """
    losses = np.square(expected.astype(np.float64) - actual).sum(axis=1) / 2
    return Loss(mean=float(losses.mean()), worst=float(losses.max()))


def measure_sensitivity(
    conversions: Conversions,
    spec: ModelSpec,
    recipe: Recipe,
    expected: NDArray[np.float32],
    data: CalibrationData,
    progress: Callable[[str], None],
) -> Sensitivity:
    """Return what each layer loses by a recipe.

    Args:
        conversions: of the encoder.
        spec: of the encoder.
        recipe: whatever it keeps in float is kept in all of the measurements.
        expected: (R, D) embeddings of the held-out pictures by the float encoder.
        data: the images.
        progress: is told what begins.
    """
    engine, *_ = filter(recipe.computed_right_by, installed_engines(recipe.format, None))

    def loss(model: ConvertedModel) -> Loss:
        with opened(spec, recipe.format, model, engine) as embedder:
            return loss_between(expected, embedder.embed_pixels(data.references))

    operators = conversions.graph(recipe).operators if recipe.mode != "float" else []
    always = select(operators, recipe.keep_float, f"recipe {recipe.name}")
    layers = []
    names = layer_names(operator for operator in operators if operator.key not in always)
    for number, name in enumerate(names, 1):
        progress(f"sensitivity of {recipe.format} layer {number} of {len(names)}, {name}")
        mine = [operator for operator in operators if operator.layer == name]
        own = {operator.key for operator in mine}
        others = {operator.key for operator in operators} - own
        layers.append(
            LayerLoss(
                layer=name,
                operators=tuple(dict.fromkeys(o.kind for o in mine if o.kind != "INPUT")),
                alone=loss(conversions.convert_all_but(recipe, always | others)),
                kept=loss(conversions.convert_all_but(recipe, always | own)),
            )
        )
    return Sensitivity(
        recipe=recipe.name,
        format=recipe.format,
        engine=engine,
        pictures=len(data.references),
        whole=loss(conversions.convert(recipe)),
        layers=tuple(layers),
    )
