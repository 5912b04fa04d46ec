"""Size of the model file against precision@1, for all encoders that were evaluated on the same images."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgesim.errors import InputError

if TYPE_CHECKING:
    from edgesim.evaluation import Evaluation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """One encoder in one engine. Raises `TypeError` or `ValueError` for values that no evaluation has.

    Attributes:
        encoder: its name and, for a bundle, its identity.
        engine: the inference engine; the same encoder in another engine is another point.
        model_bytes: size of the model file: the float `encoder.pt` of a run, the int8 model of a bundle.
        precision_at_1: from 0 to 1.
    """

    encoder: str
    engine: str
    model_bytes: int
    precision_at_1: float

    def __post_init__(self) -> None:
        if not (isinstance(self.encoder, str) and isinstance(self.engine, str)):
            raise TypeError(f"encoder and engine must be texts, got {self.encoder!r} and {self.engine!r}")
        if type(self.model_bytes) is not int or self.model_bytes < 1:
            raise ValueError(f"model_bytes must be a whole number from 1, got {self.model_bytes!r}")
        if not 0 <= self.precision_at_1 <= 1:
            raise ValueError(f"precision_at_1 must be from 0 to 1, got {self.precision_at_1!r}")

    @classmethod
    def of(cls, evaluation: Evaluation) -> Point:
        """Return the point of an evaluation."""
        subject = evaluation.subject
        return cls(
            encoder=subject.encoder,
            engine=subject.engine,
            model_bytes=subject.model_bytes,
            precision_at_1=evaluation.metrics["precision_at_1"],
        )


def in_order(points: Iterable[Point]) -> list[Point]:
    """Return the points without repetitions, the smallest file first, of equal ones the better first."""
    return sorted(set(points), key=lambda p: (p.model_bytes, -p.precision_at_1, p.encoder, p.engine))


def pareto_front(points: Iterable[Point]) -> list[Point]:
    """Return the points that no other beats, the smallest file first.

    To beat is to be no larger and no worse, and either smaller or better; points that are equal in both
    do not beat each other.
    """
    front: list[Point] = []
    for point in in_order(points):
        last = front[-1] if front else None
        if last is None or point.precision_at_1 > last.precision_at_1 or _coincide(point, last):
            front.append(point)
    return front


def _coincide(one: Point, other: Point) -> bool:
    return (one.model_bytes, one.precision_at_1) == (other.model_bytes, other.precision_at_1)


def read_points(
    paths: Sequence[Path], file_name: str, *, dataset: str, images: int, replaced: Path | None = None
) -> list[Point]:
    """Read other evaluations of the same images.

    Precision@1 depends on how many images a query is looked up among: evaluations of another number of images
    therefore count as those of another data set.

    Args:
        paths: files that `edgesim evaluate --out` wrote, or folders that hold such files at any depth.
        file_name: what these files are called inside folders.
        dataset: name or folder of the data set.
        images: how many of its images were evaluated.
        replaced: a file that is passed over in folders, for it is about to be written anew.

    Returns:
        Their points. In a folder, evaluations of other images are passed over.

    Raises:
        InputError: a path does not exist, a file is no such evaluation, or a file that `paths` names was
            measured on other images.
    """
    points = []
    for path in paths:
        for file in _files(path, file_name, replaced):
            other_dataset, other_images, point = _read(file)
            if (Path(other_dataset).resolve(), other_images) == (Path(dataset).resolve(), images):
                points.append(point)
            elif file == path:
                raise InputError(
                    f"{file}: measured on {other_images} images of {other_dataset}, this evaluation on "
                    f"{images} of {dataset}; compare evaluations of the same images"
                )
    return points


def _files(path: Path, file_name: str, replaced: Path | None) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder to compare with")
    passed_over = replaced.resolve() if replaced else None
    return sorted(file for file in path.rglob(file_name) if file.resolve() != passed_over)


def _read(file: Path) -> tuple[str, int, Point]:
    try:
        values = json.loads(file.read_bytes())
        point = Point(
            encoder=values["encoder"],
            engine=values["engine"],
            model_bytes=values["model_bytes"],
            precision_at_1=values["metrics"]["precision_at_1"],
        )
        return str(values["dataset"]), int(values["images"]), point
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{file}: not an evaluation that edgesim evaluate --out wrote; evaluate again, or leave it out"
        ) from error
