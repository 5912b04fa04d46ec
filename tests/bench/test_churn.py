"""The line through what is sampled while an index changes."""

import bench_churn
import pytest
from bench_churn import Sample


def samples(values: list[float]) -> list[Sample]:
    return [
        Sample(changes=1000 * number, rss_mib=value, disk_mb=1, recall=1, commit_ms=1, refresh_ms=1)
        for number, value in enumerate(values)
    ]


def test_the_slope_is_that_of_the_second_half_per_million_changes() -> None:
    # Of the second half alone: 10, 12, 11, 13 at 4, 5, 6, 7 thousand changes. By hand: the slope is
    # (-1.5 * -1.5 - 0.5 * 0.5 + 0.5 * -0.5 + 1.5 * 1.5) / 5 = 0.8 per thousand, the residuals are -0.3, 0.9,
    # -0.9, 0.3, and its standard error is sqrt(1.8 / (4 - 2) / 5).
    line = bench_churn.fit(samples([99, 98, 97, 96, 10, 12, 11, 13]), "rss_mib")
    assert line["mean"] == 11.5
    assert line["slope"] == pytest.approx(800)
    assert line["error"] == pytest.approx(1000 * 0.18**0.5)


def test_entries_go_on_where_they_ended_and_are_the_same_in_each_run() -> None:
    photos, again = bench_churn.Photos(16), bench_churn.Photos(16)
    some = photos.take(3) + photos.take(2)
    assert [entry.path for entry in some] == [entry.path for entry in again.take(5)]
    assert len({entry.path for entry in some}) == 5
    assert [float((entry.vector**2).sum()) for entry in some] == pytest.approx([1.0] * 5)
