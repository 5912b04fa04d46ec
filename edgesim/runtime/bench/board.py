"""What a board tells about its own state: clock, temperature, and whether something holds the chip back.

Linux tells it in files below /sys. A Raspberry Pi's firmware lowers the clock behind the kernel's back, so
there its own program, vcgencmd, is asked first. What is not told is None.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
from pathlib import Path

from edgesim.bench_figures import BoardState

# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled: of the present; 16 bits higher
# of the time since the start.
_FLAGS = ("under-voltage", "clock capped", "throttled", "soft temperature limit")
_SINCE_BOOT_SHIFT = 16
_FIRMWARE_FLAGS = "sys/devices/platform/soc/soc:firmware/get_throttled"
_VCGENCMD_TIMEOUT_S = 5


class Board:
    """The board that this runs on.

    Args:
        root: where its files lie.
        vcgencmd: path of that program; by default the one that is found, if any.
    """

    def __init__(self, root: Path = Path("/"), vcgencmd: str | None = None) -> None:
        self._root = root
        self._vcgencmd = vcgencmd or shutil.which("vcgencmd")

    def state(self) -> BoardState:
        """Return its state now."""
        flags = self._flag_bits()
        return BoardState(
            clock_mhz=self._clock_mhz(),
            temperature_c=self._temperature_c(),
            flags=None if flags is None else flag_names(flags),
            flags_since_boot=None if flags is None else flag_names(flags >> _SINCE_BOOT_SHIFT),
        )

    def governor(self) -> str | None:
        """Return by what rule the kernel chooses the clock, such as `ondemand`; None if it does not tell."""
        names = self._texts("sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")
        return ", ".join(sorted(set(names))) or None

    def firmware(self, question: str) -> str | None:
        """Return what vcgencmd answers, None without it or without an answer."""
        return None if self._vcgencmd is None else ask_vcgencmd(self._vcgencmd, question)

    def _clock_mhz(self) -> float | None:
        told = re.search(r"=(\d+)", self.firmware("measure_clock arm") or "")
        if told and int(told[1]):
            return int(told[1]) / 1e6
        clocks = self._numbers("sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq")
        return statistics.fmean(clocks) / 1000 if clocks else None

    def _temperature_c(self) -> float | None:
        millidegrees = self._numbers("sys/class/thermal/thermal_zone*/temp")
        return max(millidegrees) / 1000 if millidegrees else None

    def _flag_bits(self) -> int | None:
        told = re.search(r"=0x([0-9a-fA-F]+)", self.firmware("get_throttled") or "")
        if told:
            return int(told[1], 16)
        for text in self._texts(_FIRMWARE_FLAGS):
            if re.fullmatch(r"(0x)?[0-9a-fA-F]+", text):
                return int(text, 16)
        return None

    def _numbers(self, pattern: str) -> list[int]:
        return [int(text) for text in self._texts(pattern) if re.fullmatch(r"-?\d+", text)]

    def _texts(self, pattern: str) -> list[str]:
        """Return what the files of a pattern hold, those left out that cannot be read."""
        texts = []
        for path in sorted(self._root.glob(pattern)):
            try:
                texts.append(path.read_text().strip())
            except (OSError, UnicodeDecodeError):  # a sensor that is switched off says so when it is read
                continue
        return texts


def flag_names(bits: int) -> tuple[str, ...]:
    """Return what the four lowest bits of the firmware's word mean."""
    return tuple(name for bit, name in enumerate(_FLAGS) if bits >> bit & 1)


def ask_vcgencmd(program: str, question: str) -> str | None:
    """Return what a Raspberry Pi's firmware answers to `measure_clock arm`, `get_throttled`..., or None."""
    try:
        result = subprocess.run(
            [program, *question.split()],
            capture_output=True,
            text=True,
            timeout=_VCGENCMD_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return result.stdout
