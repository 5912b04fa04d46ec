"""What runs in the guest: one warm inference of each model, on one thread, between two marks.

    python in_guest.py ENGINE MODEL...

ENGINE is one of edgesim's, or ncnn.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from arm.in_guest import DONE, mark

START = 1
WARM_UP = 2
# Height and width of the image where an ONNX model leaves them open.
SIDE = 224


def noise(shape: Sequence[int], kind: Any) -> Any:
    """Return an image: all values of a whole number's type, or normally distributed ones."""
    rng = np.random.default_rng(0)
    if not np.issubdtype(kind, np.integer):
        return rng.standard_normal(shape).astype(np.float32)
    limits = np.iinfo(kind)
    return rng.integers(limits.min, limits.max + 1, shape).astype(kind)


def onnxruntime(model: str) -> Callable[[], Any]:
    """Return the inference of an ONNX model."""
    import onnxruntime as engine

    options = engine.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = engine.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (tensor,) = session.get_inputs()
    shape = [1, *(size if isinstance(size, int) else SIDE for size in tensor.shape[1:])]
    image = noise(shape, np.uint8 if tensor.type == "tensor(uint8)" else np.float32)
    return lambda: session.run(None, {tensor.name: image})


def tflite(model: str, module: str) -> Callable[[], Any]:
    """Return the inference of a TFLite model."""
    interpreter = importlib.import_module(module).Interpreter(model_path=model, num_threads=1)
    interpreter.allocate_tensors()
    (details,) = interpreter.get_input_details()
    interpreter.set_tensor(details["index"], noise(details["shape"], details["dtype"]))
    return interpreter.invoke  # type: ignore[no-any-return]


def ncnn(model: str) -> Callable[[], Any]:
    """Return the inference of an ncnn network without weights."""
    import ncnn as engine

    network = engine.Net()
    network.opt.num_threads = 1
    network.load_param(model)
    network.load_model(engine.DataReaderFromEmpty())
    image = engine.Mat(np.full((3, 224, 224), 0.01, np.float32))

    def infer() -> None:
        extractor = network.create_extractor()
        extractor.input("in", image)
        extractor.extract("out")

    return infer


ENGINES: dict[str, Callable[[str], Callable[[], Any]]] = {
    "onnxruntime": onnxruntime,
    "litert": lambda model: tflite(model, "ai_edge_litert.interpreter"),
    "tflite-runtime": lambda model: tflite(model, "tflite_runtime.interpreter"),
    "ncnn": ncnn,
}

if __name__ == "__main__":
    for path in sys.argv[2:]:
        infer = ENGINES[sys.argv[1]](path)
        for _ in range(WARM_UP):
            infer()
        mark(START)
        infer()
        mark(DONE)
