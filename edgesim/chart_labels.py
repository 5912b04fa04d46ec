"""Places for the names of a chart's points, so that none covers another, a point or the curve."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

# Pixels: of a line of text, and of a character, for wide fonts at 14 px; of one of scripts with wide ones.
_LINE, _CHARACTER, _WIDE = 18, 8.3, 14.5
# Distances of a name from its point, the first without a line between them.
_GAPS = (11, 20, 32, 46, 62, 80, 100)
# Of a text's width, what lies left of its anchor.
_SHARE_LEFT = {"start": 0.0, "middle": 0.5, "end": 1.0}
# Pixels kept free left and right of a text.
_MARGIN = 3
# How many pixels farther another point must be from a text without a line.
_CLEARLY = 5
# Pieces that a line to a text is cut into, to see what it crosses.
_PIECES = 8
_LONGEST = 40

Place = tuple[float, float]


class Box(NamedTuple):
    """A rectangle in pixels, y downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Return whether the two share more than an edge."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def contains(self, other: Box) -> bool:
        """Return whether `other` lies inside."""
        return (
            self.left <= other.left
            and self.top <= other.top
            and other.right <= self.right
            and other.bottom <= self.bottom
        )

    def nearest(self, x: float, y: float) -> Place:
        """Return the point of the rectangle that is nearest to (x, y)."""
        return min(max(x, self.left), self.right), min(max(y, self.top), self.bottom)


def shortened(text: str) -> str:
    """Return a text of at most 40 characters; of longer ones both ends remain, which tell versions apart."""
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]}…{text[1 - half :]}"


def text_width(text: str) -> float:
    """Return about how many pixels a text takes at most, for no font can be measured here."""
    return sum(_CHARACTER if character < "\u1100" else _WIDE for character in text)


class Label(NamedTuple):
    """A text in its place.

    Attributes:
        text: what it says.
        box: the room that it may take.
        anchor: `start`, `middle` or `end`: the part of the text that lies at `x`, as SVG calls it.
        x: of the anchor, in pixels.
        leader: end of the line that comes from the point, None where the text is near enough without one.
    """

    text: str
    box: Box
    anchor: str
    x: float
    leader: Place | None


def place_labels(
    points: Sequence[Place],
    texts: Sequence[str],
    area: Box,
    radius: float,
    line: Sequence[Place],
    obstacles: Iterable[Box] = (),
) -> list[Label | None]:
    """Return where each text goes, None where there is no room for it.

    Greedy: the first texts get the best places; no place is taken back. Our choice.

    Args:
        points: what the texts name.
        texts: one for each point.
        area: what no text may leave.
        radius: of the points' markers.
        line: corners of the curve, which runs horizontally and vertically.
        obstacles: what else is drawn, and no text may cover.
    """
    markers = [_around(point, point, radius) for point in points]
    drawn = [*obstacles, *(_around(start, end) for start, end in itertools.pairwise(line))]
    labels: list[Label | None] = []
    for point, text in zip(points, texts, strict=True):
        written = [label.box for label in labels if label]
        # What a line to the text must go around; points in the same place it cannot.
        cores = [_around(other, other, radius / 2) for other in points]
        foreign = [core for core in cores if not core.meets(_around(point, point))]
        free = (
            label
            for label in _candidates(*point, text)
            if area.contains(label.box)
            and not any(map(label.box.meets, [*markers, *drawn, *written]))
            and not any(box.meets(part) for box in [*foreign, *written] for part in _leader(point, label))
            and (label.leader or _is_nearest(point, points, label.box))
        )
        labels.append(next(free, None))
        drawn += _leader(point, labels[-1])
    return labels


def _around(start: Place, end: Place, margin: float = 2) -> Box:
    (x0, y0), (x1, y1) = start, end
    return Box(min(x0, x1) - margin, min(y0, y1) - margin, max(x0, x1) + margin, max(y0, y1) + margin)


def _is_nearest(point: Place, points: Iterable[Place], box: Box) -> bool:
    """Return whether every other point is clearly farther from a text, which else might seem to name it."""
    distance = math.dist(point, box.nearest(*point))
    return all(
        other == point or math.dist(other, box.nearest(*other)) > distance + _CLEARLY for other in points
    )


def _leader(point: Place, label: Label | None) -> list[Box]:
    """Return short pieces of the line to a label: one box around a slanted line would block far too much."""
    if label is None or label.leader is None:
        return []
    steps = [i / _PIECES for i in range(_PIECES + 1)]
    (x0, y0), (x1, y1) = point, label.leader
    corners = [(x0 + step * (x1 - x0), y0 + step * (y1 - y0)) for step in steps]
    return [_around(start, end) for start, end in itertools.pairwise(corners)]


def _candidates(x: float, y: float, text: str) -> Iterator[Label]:
    """Yield places around a point, the nearest first."""
    width = text_width(text)
    for gap in _GAPS:
        for anchor, aside, down in _directions(gap):
            left, top = x + aside - width * _SHARE_LEFT[anchor], y + down - _LINE / 2
            box = Box(left - _MARGIN, top, left + width + _MARGIN, top + _LINE)
            yield Label(text, box, anchor, x + aside, box.nearest(x, y) if gap > _GAPS[0] else None)


def _directions(gap: float) -> Iterator[tuple[str, float, float]]:
    """Yield anchors and where they lie from the point, to the right and down to the middle of the text."""
    yield from (("start", gap, 0), ("end", -gap, 0))
    for aside, down in ((0.75 * gap, 0.75 * gap), (0.3 * gap, gap), (gap, 0.3 * gap)):
        for sign in (-1, 1):
            middle = sign * (down + _LINE / 2)
            yield from (("start", aside, middle), ("end", -aside, middle))
    yield from (("middle", 0, -gap - _LINE / 2), ("middle", 0, gap + _LINE / 2))
