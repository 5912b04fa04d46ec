"""Timings of `edgesim bench` against other implementations; windows; photos."""

import io
import statistics

import numpy as np
import pytest
from PIL import Image

from edgesim.runtime.bench import timing
from edgesim.runtime.bench.photos import PHOTO_SIZES, draw_photo, draw_photos
from edgesim.runtime.bench.timing import KEPT_SAMPLES, run_windows, stage_timings, summarise, warm_up


class Clock:
    """Stands for `time`: every reading is a second later."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def clock(monkeypatch):
    stopped = Clock()
    monkeypatch.setattr(timing, "time", stopped)
    return stopped


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_statistics_are_those_of_the_standard_library_and_numpy(count):
    samples = np.random.default_rng(count).lognormal(size=count).tolist()
    windows = [samples[: count // 3 + 1], samples[count // 3 + 1 :]] if count > 1 else [samples]
    found = summarise(windows)
    assert (found.count, found.first_ms, found.last_ms) == (count, samples[0], samples[-1])
    assert (found.min_ms, found.max_ms) == (min(samples), max(samples))
    assert found.mean_ms == pytest.approx(statistics.fmean(samples))
    assert found.sd_ms == pytest.approx(statistics.pstdev(samples))
    assert (found.p50_ms, found.p90_ms, found.p99_ms) == pytest.approx(np.percentile(samples, [50, 90, 99]))
    if count > 1:
        cuts = statistics.quantiles(samples, n=100, method="inclusive")
        assert (found.p50_ms, found.p90_ms, found.p99_ms) == pytest.approx((cuts[49], cuts[89], cuts[98]))
    assert found.windows_ms == tuple(statistics.median(window) for window in windows)


def test_the_throughput_is_the_median_of_the_windows():
    # 10, 5 and 1 a second: the one slow window does not count.
    assert summarise([[100.0, 100.0], [200.0], [1000.0]]).per_second == pytest.approx(5.0)


def test_samples_are_thinned_out_evenly():
    found = summarise([[float(i + 1) for i in range(10 * KEPT_SAMPLES)]])
    assert len(found.samples_ms) == KEPT_SAMPLES
    assert (found.samples_ms[0], found.samples_ms[-1]) == (1.0, 10.0 * KEPT_SAMPLES)
    assert set(np.diff(found.samples_ms).tolist()) == {10.0, 11.0}


def test_stages_are_told_apart():
    first, second = stage_timings([[(1.0, 10.0), (2.0, 20.0)], [(3.0, 30.0)]])
    assert (first.samples_ms, second.samples_ms) == ((1.0, 2.0, 3.0), (10.0, 20.0, 30.0))
    assert (first.windows_ms, second.windows_ms) == ((1.5, 3.0), (15.0, 30.0))


def test_the_time_is_cut_into_windows(clock):
    # The clock is read once before a window, and once after each step.
    assert run_windows(lambda: (1.0,), 15.0) == [[(1.0,)] * 3] * 5
    assert run_windows(lambda: (1.0,), 0.001) == [[(1.0,)]] * 5


def test_warming_up_is_short_and_happens_at_least_once(clock):
    assert warm_up(lambda: (1.0,), 1000.0) == [(1.0,)]
    assert warm_up(lambda: (1.0,), 0.0) == [(1.0,)]


def test_photos_are_the_same_each_time_and_have_the_detail_of_photos():
    content = draw_photo(640, 480, seed=3)
    assert content == draw_photo(640, 480, seed=3) != draw_photo(640, 480, seed=4)
    # Of 40 photos of imagenette saved with this quality the median is 3.1 bits a pixel.
    assert 2.0 < 8 * len(content) / (640 * 480) < 4.0


def test_photos_have_the_sizes_they_are_called_by():
    small, middle = draw_photos([0.3, 2.0])
    for photo in (small, middle):
        with Image.open(io.BytesIO(photo.content)) as picture:
            assert (picture.format, picture.size) == ("JPEG", (photo.width, photo.height))
            assert picture.size == PHOTO_SIZES[photo.megapixels]
    for megapixels, (width, height) in PHOTO_SIZES.items():
        assert width * height / 1e6 == pytest.approx(megapixels, rel=0.05)
