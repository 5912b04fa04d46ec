"""What boards tell about themselves: files below a root of our own, and a stand-in for vcgencmd."""

from pathlib import Path

import pytest

from edgesim.runtime.bench import energy
from edgesim.runtime.bench.board import Board, flag_names
from edgesim.runtime.bench.energy import Pmic, Rapl, open_power_meter, parse_pmic
from edgesim.runtime.bench.sampling import Sampler

CPUS = "sys/devices/system/cpu"
RAPL = "sys/class/powercap"
PMIC = """\
   3V3_SYS_A current(1)=0.10000000A
  VDD_CORE_A current(7)=1.50000000A
   3V3_SYS_V volt(9)=3.30000000V
  VDD_CORE_V volt(15)=0.90000000V
     EXT5V_V volt(24)=5.10000000V
      BATT_V volt(25)=0.00000000V
"""


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.fixture
def vcgencmd(tmp_path):
    """Return a function that makes a vcgencmd of answers, by question."""

    def make(answers: dict[str, str]) -> str:
        program = tmp_path / "vcgencmd"
        cases = "".join(f'"{question}") echo "{answer}";;\n' for question, answer in answers.items())
        program.write_text(f'#!/bin/sh\ncase "$*" in\n{cases}*) echo unknown >&2; exit 1;;\nesac\n')
        program.chmod(0o755)
        return str(program)

    return make


@pytest.fixture(autouse=True)
def no_firmware(monkeypatch):
    """As on a machine without vcgencmd, wherever the tests run."""
    monkeypatch.setattr("shutil.which", lambda name: None)


def test_the_files_of_linux(tmp_path):
    root = write(
        tmp_path,
        {
            f"{CPUS}/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
            f"{CPUS}/cpu1/cpufreq/scaling_cur_freq": "600000\n",
            f"{CPUS}/cpu0/cpufreq/scaling_governor": "ondemand\n",
            f"{CPUS}/cpu1/cpufreq/scaling_governor": "ondemand\n",
            "sys/class/thermal/thermal_zone0/temp": "48312\n",
            "sys/class/thermal/thermal_zone1/temp": "61500\n",
            "sys/class/thermal/thermal_zone2/temp": "not a number\n",
            "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
        },
    )
    state = Board(root).state()
    assert (state.clock_mhz, state.temperature_c) == (1050.0, 61.5)
    assert state.flags == ("under-voltage", "throttled")
    assert state.flags_since_boot == ("under-voltage", "throttled")
    assert Board(root).governor() == "ondemand"


def test_a_sensor_that_cannot_be_read_is_left_out(tmp_path):
    # A folder in the file's place cannot be read by root either.
    (tmp_path / "sys/class/thermal/thermal_zone0/temp").mkdir(parents=True)
    write(tmp_path, {"sys/class/thermal/thermal_zone1/temp": "40000"})
    assert Board(tmp_path).state().temperature_c == 40.0


def test_a_board_that_tells_nothing(tmp_path):
    state = Board(tmp_path).state()
    assert (state.clock_mhz, state.temperature_c, state.flags, state.flags_since_boot) == (None,) * 4
    assert Board(tmp_path).governor() is None
    assert open_power_meter(Board(tmp_path), tmp_path) is None


def test_the_firmware_is_believed_before_the_kernel(tmp_path, vcgencmd):
    # The kernel says 1800 MHz, for that is what it asked for; the firmware has lowered it.
    root = write(
        tmp_path / "root",
        {
            f"{CPUS}/cpu0/cpufreq/scaling_cur_freq": "1800000",
            "sys/devices/platform/soc/soc:firmware/get_throttled": "0",
        },
    )
    answers = {"measure_clock arm": "frequency(48)=600117184", "get_throttled": "throttled=0xe0006"}
    state = Board(root, vcgencmd(answers)).state()
    assert state.clock_mhz == pytest.approx(600.117184)
    assert state.flags == ("clock capped", "throttled")
    assert state.flags_since_boot == ("clock capped", "throttled", "soft temperature limit")


def test_without_an_answer_of_the_firmware_the_kernel_is_believed(tmp_path, vcgencmd):
    root = write(tmp_path / "root", {f"{CPUS}/cpu0/cpufreq/scaling_cur_freq": "1800000"})
    assert Board(root, vcgencmd({})).state().clock_mhz == 1800.0
    assert Board(root, vcgencmd({"measure_clock arm": "frequency(0)=0"})).state().clock_mhz == 1800.0
    assert Board(root, str(tmp_path / "gone")).state().clock_mhz == 1800.0


@pytest.mark.parametrize(
    ("bits", "names"),
    [
        (0x0, ()),
        (0x1, ("under-voltage",)),
        (0x8, ("soft temperature limit",)),
        (0xF0000, ()),
        (0xF, ("under-voltage", "clock capped", "throttled", "soft temperature limit")),
    ],
)
def test_the_flags(bits, names):
    assert flag_names(bits) == names


def test_the_power_of_the_rails_is_current_times_voltage():
    # EXT5V and BATT have no current.
    assert parse_pmic(PMIC) == pytest.approx(0.1 * 3.3 + 1.5 * 0.9)
    assert parse_pmic("EXT5V_V volt(24)=5.1V\n") is None
    assert parse_pmic('error=1 error_msg="Command not registered"') is None


def test_a_raspberry_pi_5_has_a_power_meter(tmp_path, vcgencmd):
    board = Board(tmp_path, vcgencmd({"pmic_read_adc": PMIC.strip()}))
    meter = open_power_meter(board, tmp_path)
    assert isinstance(meter, Pmic)
    assert meter.watts() is None
    meter.sample()
    meter.sample()
    assert (meter.source, meter.watts()) == ("pmic", pytest.approx(1.68))


def test_the_energy_counters_of_packages(tmp_path, monkeypatch):
    """Both packages count, their inner zones do not, and one counter begins again at 0."""
    root = write(
        tmp_path,
        {
            f"{RAPL}/intel-rapl:0/name": "package-0\n",
            f"{RAPL}/intel-rapl:0/energy_uj": "1000000\n",
            f"{RAPL}/intel-rapl:0/max_energy_range_uj": "10000000\n",
            f"{RAPL}/intel-rapl:1/name": "package-1\n",
            f"{RAPL}/intel-rapl:1/energy_uj": "9000000\n",
            f"{RAPL}/intel-rapl:1/max_energy_range_uj": "10000000\n",
            f"{RAPL}/intel-rapl:2/name": "psys\n",
            f"{RAPL}/intel-rapl:2/energy_uj": "0\n",
            f"{RAPL}/intel-rapl:0:0/name": "core\n",
            f"{RAPL}/intel-rapl:0:0/energy_uj": "0\n",
        },
    )
    instants = iter([100.0, 102.0])
    monkeypatch.setattr(energy.time, "perf_counter", lambda: next(instants))
    meter = open_power_meter(Board(root), root)
    assert isinstance(meter, Rapl)
    meter.sample()
    assert meter.watts() is None
    write(root, {f"{RAPL}/intel-rapl:0/energy_uj": "4000000", f"{RAPL}/intel-rapl:1/energy_uj": "2000000"})
    meter.sample()
    # 3 J, and 1 J up to the end of the range and 2 J behind it, in 2 s.
    assert meter.watts() == pytest.approx((3 + 3) / 2)


def test_counters_that_one_may_not_read_are_no_meter(tmp_path):
    root = write(tmp_path, {f"{RAPL}/intel-rapl:0/name": "package-0"})
    (root / f"{RAPL}/intel-rapl:0/energy_uj").mkdir()
    assert open_power_meter(Board(root), root) is None


def test_sensors_are_read_at_both_ends_and_between(tmp_path):
    temperature = "sys/class/thermal/thermal_zone0/temp"
    root = write(tmp_path, {temperature: "40000"})
    with Sampler(Board(root), None, interval=3600.0) as sampler:
        write(root, {temperature: "80000"})
    assert sampler.state_near(0.0).temperature_c == 40.0
    assert sampler.state_near(1e12).temperature_c == 80.0
    assert sampler.watts() is None
