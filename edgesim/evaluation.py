"""What embeddings of a labelled set are worth, as figures, and as pictures in edgesim.evaluation_page."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import InputError
from edgesim.metrics import leave_one_out_neighbours, neighbour_confusion, retrieval_metrics

# How many neighbours of each image are kept, to be shown. Our choice.
SHOWN = 5
CONFUSION_NEIGHBOURS = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subject:
    """Who was evaluated, and on what.

    Attributes:
        encoder: its name and, for a bundle, its identity.
        engine: the inference engine of a bundle, or `torch (float)`.
        model_bytes: size of the model file.
        dataset: name or folder of the data set.
    """

    encoder: str
    engine: str
    model_bytes: int
    dataset: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What was measured.

    Attributes:
        subject: who was evaluated.
        classes: names of the C classes.
        labels: (N,) int64, the class of each image.
        metrics: see `edgesim.metrics.retrieval_metrics`.
        confusion: (C, C), percent; see `edgesim.metrics.neighbour_confusion`, of 10 neighbours.
        neighbours: (N, up to 5), the images most similar to each, best first.
        similarities: of the same shape, their cosines.
    """

    subject: Subject
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    metrics: dict[str, float]
    confusion: NDArray[np.float64]
    neighbours: NDArray[np.intp]
    similarities: NDArray[np.float32]

    @property
    def confusion_neighbours(self) -> int:
        """How many neighbours of each image the confusion matrix counts."""
        return min(CONFUSION_NEIGHBOURS, len(self.labels) - 1)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures, without what belongs to a single image, ready for JSON."""
        return {
            **dataclasses.asdict(self.subject),
            "images": len(self.labels),
            "metrics": self.metrics,
            "classes": list(self.classes),
            "confusion_neighbours": self.confusion_neighbours,
            "confusion_percent": self.confusion.round(2).tolist(),
        }


def evaluate_embeddings(
    embeddings: NDArray[np.float32], labels: NDArray[np.int64], classes: tuple[str, ...], subject: Subject
) -> Evaluation:
    """Measure how well images find those of their own class among all others.

    Args:
        embeddings: (N, D), L2-normalised.
        labels: (N,), from 0 to C - 1.
        classes: the C names.
        subject: whose embeddings these are.

    Raises:
        InputError: no class has two images, so that there is nothing to find.
    """
    if len(np.unique(labels)) == len(labels):
        raise InputError(
            f"{subject.dataset}: no class has two images among the {len(labels)} evaluated; "
            "add images, or raise --limit"
        )
    neighbours = leave_one_out_neighbours(embeddings, SHOWN)
    return Evaluation(
        subject=subject,
        classes=classes,
        labels=labels,
        metrics=retrieval_metrics(embeddings, labels),
        confusion=neighbour_confusion(embeddings, labels, len(classes), CONFUSION_NEIGHBOURS),
        neighbours=neighbours,
        similarities=np.einsum("nd,nkd->nk", embeddings, embeddings[neighbours]),
    )
