"""Lines through samples: slope and standard error against numpy.polyfit and by hand; verdicts."""

import numpy as np
import pytest
from soak.growth import Growth, fit_growth


def test_a_line_by_hand():
    # Four samples an hour apart; slope 2.2 and residuals 0.3, -0.4, -0.1, 0.2 about 0.7 + 2.2 t, so that the
    # slope's variance is (0.30 / 2) / 5.
    line = fit_growth([0, 3600, 7200, 10800], [1.0, 2.5, 5.0, 7.5])
    assert line.slope == pytest.approx(2.2)
    assert line.standard_error == pytest.approx(np.sqrt(0.30 / 2 / 5))
    assert line.start == pytest.approx(0.7)
    assert (line.samples, line.hours) == (4, pytest.approx(3.0))


def test_as_numpy_fits():
    rng = np.random.default_rng(0)
    seconds = np.sort(rng.uniform(1e6, 1e6 + 3600, 50))
    values = 90 + 3 * seconds / 3600 + rng.normal(0, 0.2, 50)
    line = fit_growth(seconds.tolist(), values.tolist())
    hours = (seconds - seconds[0]) / 3600
    (slope, start), covariance = np.polyfit(hours, values, 1, cov=True)
    assert line.slope == pytest.approx(slope)
    assert line.start == pytest.approx(start)
    assert line.standard_error == pytest.approx(np.sqrt(covariance[0, 0]))


@pytest.mark.parametrize(
    ("slope", "verdict"),
    [(-5, "within"), (6.9, "within"), (7.1, "unsure"), (12.9, "unsure"), (13.1, "above")],
)
def test_a_verdict_leaves_room_for_three_standard_errors(slope, verdict):
    line = Growth(slope=slope, standard_error=1.0, start=90.0, samples=50, hours=1.0)
    assert line.verdict(10.0) == verdict


@pytest.mark.parametrize("seconds", [[1.0, 2.0], [5.0, 5.0, 5.0]])
def test_no_line_without_three_samples_at_two_instants(seconds):
    with pytest.raises(ValueError, match=r"three samples or more|one instant"):
        fit_growth(seconds, [1.0] * len(seconds))


def test_each_sample_has_its_instant():
    with pytest.raises(ValueError, match="not 3 and 4"):
        fit_growth([1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0])
