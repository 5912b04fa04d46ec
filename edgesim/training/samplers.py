"""Which images make up each batch: a function of the seed and the epoch alone, so that a run can resume."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def view_batches(
    count: int, batch_size: int, views: int, seed: int, epoch: int
) -> Iterator[NDArray[np.intp]]:
    """Yield row numbers, each image `views` times in its batch, each image in one batch of the epoch.

    The last images of the shuffled order, too few for a batch, wait for another epoch; when there are fewer
    images than one batch takes, all of them make one smaller batch.
    """
    order = np.random.default_rng((seed, epoch)).permutation(count)
    per_batch = min(batch_size // views, count)
    for start in range(0, count - per_batch + 1, per_batch):
        yield np.repeat(order[start : start + per_batch], views)


def class_balanced_batches(
    labels: NDArray[np.int64], batch_size: int, per_class: int, seed: int, epoch: int
) -> Iterator[NDArray[np.intp]]:
    """Yield row numbers, `per_class` images of each of batch_size / per_class classes.

    Where there are not so many classes, each has more images: batches stay as large.
    Classes take turns in shuffled order and so do the images of a class, which starts again when it is used
    up; an epoch has as many batches as the images would fill.
    """
    rng = np.random.default_rng((seed, epoch))
    members = {label: rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)}
    used = dict.fromkeys(members, 0)
    classes_per_batch = min(batch_size // per_class, len(members))
    per_class = batch_size // classes_per_batch
    queue: list[int] = []
    for _ in range(max(1, len(labels) // batch_size)):
        if len(queue) < classes_per_batch:
            queue += [c for c in rng.permutation(list(members)) if c not in queue]
        batch, queue = queue[:classes_per_batch], queue[classes_per_batch:]
        rows = []
        for label in batch:
            rows.append(members[label].take(range(used[label], used[label] + per_class), mode="wrap"))
            used[label] += per_class
        yield np.concatenate(rows)
