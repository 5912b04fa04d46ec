"""The recipes that `--recipe auto` tried: a table, the rule that picks from it, and what must be said of it.

The rule, our choice: of the recipes that pass all their gates, those count as equally fast that need at most
`TIE` more time than the fastest; of these the one nearest to the float encoder is picked, by its mean cosine.
If none passes, the one that fails the fewest gates is, so that the report says how far the best is off.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from edgesim.machine import other_machine, read_machine
from edgesim.profiles import DeviceProfile
from edgesim_export.recipe import Recipe
from edgesim_export.validate import Gate, failed

# Repeated measurements differ by about that much.
TIE = 0.1
# How often each recipe's model is timed.
ROUNDS = 31


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """A recipe, and what came of it.

    Attributes:
        recipe: what was tried.
        engine: the device's preferred engine of those installed here; `milliseconds` is its.
        milliseconds: CPU time of one embedding on this machine, one thread, median.
        gates: of the recipe, by the engine that is farthest from the float encoder.
        picked: whether the rule picked it.
    """

    recipe: Recipe
    engine: str
    milliseconds: float
    gates: list[Gate]
    picked: bool = False

    def value(self, gate: str) -> float:
        """Return what was measured for a gate."""
        return next(float(g.value) for g in self.gates if g.gate == gate and g.value is not None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "recipe": self.recipe.name,
            "format": self.recipe.format,
            "engine": self.engine,
            "bytes": int(self.value("bytes")),
            "cosine_mean": self.value("cosine_mean"),
            "cosine_worst": self.value("cosine_worst"),
            "recall_at_1_loss": self.value("recall_at_1_loss"),
            "milliseconds": round(self.milliseconds, 3),
            "failed": [gate.gate for gate in failed(self.gates)],
            "picked": self.picked,
        }


def formats_of(found: Sequence[Candidate]) -> list[str]:
    """Return the formats of some candidates, each once."""
    return list(dict.fromkeys(candidate.recipe.format for candidate in found))


def choose(found: Sequence[Candidate]) -> Candidate:
    """Return one of the candidates by the rule at the head of this file."""
    passing = [candidate for candidate in found if not failed(candidate.gates)]
    if not passing:
        return min(found, key=lambda c: (len(failed(c.gates)), -c.value("cosine_mean")))
    fastest = min(candidate.milliseconds for candidate in passing)
    near = [candidate for candidate in passing if candidate.milliseconds <= (1 + TIE) * fastest]
    return max(near, key=lambda c: (c.value("cosine_mean"), c.value("cosine_worst"), -c.milliseconds))


def remarks(found: Sequence[Candidate], profile: DeviceProfile | None) -> list[str]:
    """Return what must be said about a table of candidates: what was picked, and what the times are worth."""
    lines = []
    for key in formats_of(found):
        rows = [candidate for candidate in found if candidate.recipe.format == key]
        lines += [_pick_remark(rows), *_float_remark(rows)]
    why = other_machine(read_machine(), profile) if profile else None
    elsewhere = f", not on the device ({why}): the order may differ there" if why else ""
    lines.append(
        f"ms: CPU time of one embedding on this machine{elsewhere}; one thread, median of {ROUNDS} in turns"
    )
    return lines


def _pick_remark(rows: Sequence[Candidate]) -> str:
    pick = next(candidate for candidate in rows if candidate.picked)
    if failed(pick.gates):
        return f"{pick.recipe.format}: no recipe passes its gates, {pick.recipe.name} comes nearest"
    return (
        f"{pick.recipe.format}: {pick.recipe.name}, the nearest to the float encoder of those that pass and "
        f"take at most {TIE:.0%} longer than the fastest of them"
    )


def _float_remark(rows: Sequence[Candidate]) -> list[str]:
    """Say so where integer arithmetic gains nothing."""
    floats = [c for c in rows if c.recipe.mode == "float"]
    integers = [c for c in rows if c.recipe.mode in ("static", "dynamic")]
    if not floats or not integers:
        return []
    best, rival = (min(group, key=lambda c: c.milliseconds) for group in (floats, integers))
    if best.milliseconds > rival.milliseconds:
        return []
    wrong = ", ".join(gate.gate for gate in failed(best.gates))
    return [
        f"{best.recipe.format}: int8 is not faster here, {best.recipe.name} takes {best.milliseconds:.2f} ms "
        f"and the fastest int8, {rival.recipe.name}, {rival.milliseconds:.2f} ms"
        + (f"; but {best.recipe.name} fails {wrong}" if wrong else "")
    ]
