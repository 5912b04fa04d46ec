"""The gates: what a model file must reach against the float encoder, run by the device's own code.

Those that a device's profile asks for are in `edgesim_export.profile_gates`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import GateError
from edgesim.metrics import paired_cosine, recall_at_k
from edgesim_export.converted import ConvertedModel
from edgesim_export.recipe import GateLimits

# What better calibration can mend.
_ACCURACY = ("cosine_mean", "cosine_worst", "recall_at_1_loss")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gate:
    """One measurement and its limit.

    Attributes:
        gate: what was measured; `limit` is what it must stay below (`bytes`), reach (`cosine_mean`,
            `cosine_worst`), not exceed (`recall_at_1_loss`, in points; `peak_memory`, in MiB; `latency`, in
            milliseconds), be among (`float_operators`) or include (`operators`, `wheels`).
        model: `onnx` or `tflite`.
        value: what came out; None if that was not measured.
        limit: what is asked for.
        passed: whether it is good enough; None if that was not measured here.
        note: on what it was measured, or why it was not.
    """

    gate: str
    model: str
    value: float | int | str | None
    limit: float | int | str
    passed: bool | None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return dataclasses.asdict(self)


class GatesFailedError(GateError):
    """At least one gate failed.

    Attributes:
        gates: all of them.
        report: the file that holds them and what was asked for, if one was written.
        tried: what `--recipe auto` tried, as the bundle would have recorded it.
    """

    def __init__(
        self, gates: Sequence[Gate], report: Path | None = None, tried: dict[str, Any] | None = None
    ) -> None:
        self.gates, self.report, self.tried = list(gates), report, tried
        bad = failed(gates)
        details = "; ".join(f"{g.model} {g.gate} is {g.value}, the limit is {g.limit}" for g in bad)
        advice = [
            f"see {report}" if report else "",
            "calibrate on images like those that the device will see: --calibration FOLDER"
            if any(gate.gate in _ACCURACY for gate in bad)
            else "",
            "--force writes the bundle all the same",
        ]
        super().__init__(
            f"no bundle was written, {len(bad)} of {len(gates)} gates failed: {details}; "
            + "; ".join(filter(None, advice))
        )


def failed(gates: Sequence[Gate]) -> list[Gate]:
    """Return the gates that failed; one that was not measured has not."""
    return [gate for gate in gates if gate.passed is False]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Embeddings:
    """Embeddings of the held-out images by one encoder.

    Attributes:
        references: (R, D) float32, L2-normalised, of the held-out pictures.
        queries: (Q, D) float32, L2-normalised, of their edited copies.
    """

    references: NDArray[np.float32]
    queries: NDArray[np.float32]

    def recall_at_1(self, truth: NDArray[np.intp]) -> float:
        """Return the share of queries whose nearest reference is row `truth` (Q,)."""
        return recall_at_k(self.queries, self.references, truth)


def measure(
    model_format: str,
    model: ConvertedModel,
    limits: GateLimits,
    expected: Embeddings,
    actual: Embeddings,
    truth: NDArray[np.intp],
) -> list[Gate]:
    """Return the gates of one model.

    Args:
        model_format: `onnx` or `tflite`.
        model: the int8 model.
        limits: of its recipe.
        expected: by the float encoder.
        actual: by the int8 model.
        truth: (Q,), the row of `references` that each query was made from.
    """
    size = len(model.content)
    # Not over the edited copies: a light picture brightened may be blank, and its embedding chance.
    cosines = paired_cosine(expected.references, actual.references)
    mean, worst = round(float(cosines.mean()), 5), round(float(cosines.min()), 5)
    loss = round(100 * (expected.recall_at_1(truth) - actual.recall_at_1(truth)), 3)
    in_float, allowed = sorted(set(model.float_operators)), limits.float_ops_allowed
    rows: list[tuple[str, float | str, float | str, bool]] = [
        ("bytes", size, limits.max_bytes, size < limits.max_bytes),
        # Written so that NaN fails too.
        ("cosine_mean", mean, limits.cosine_mean_min, mean >= limits.cosine_mean_min),
        ("cosine_worst", worst, limits.cosine_worst_min, worst >= limits.cosine_worst_min),
        ("recall_at_1_loss", loss, limits.recall_at_1_loss_max, loss <= limits.recall_at_1_loss_max),
        (
            "float_operators",
            _names(in_float),
            _names(allowed),
            "*" in allowed or set(in_float) <= set(allowed),
        ),
    ]
    return [Gate(gate=g, model=model_format, value=v, limit=x, passed=p) for g, v, x, p in rows]


def _names(operators: list[str] | tuple[str, ...]) -> str:
    return ", ".join(operators) or "none"
