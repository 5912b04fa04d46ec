"""What the shell scripts have in common: how they install Debian's packages."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
# As on a fresh system: without the lists of packages that `update` fetches there is nothing to install.
APT_GET = """#!/bin/sh
cd "$(dirname "$0")"
echo "$*" >>log
case $1 in
update) touch lists ;;
install) [ -e lists ] ;;
esac
"""


def test_the_lists_of_packages_are_fetched_once(tmp_path: Path) -> None:
    for name, content in (("apt-get", APT_GET), ("id", "#!/bin/sh\necho 0\n")):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    script = (
        '. scripts/_venv; install_packages " gcc libc6-dev"; install_packages ""; install_packages " g++"'
    )
    result = subprocess.run(
        ["sh", "-euc", script],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (result.stdout, result.stderr) == ("", "")
    install = "install -y -qq"
    assert (tmp_path / "log").read_text().splitlines() == [
        f"{install} gcc libc6-dev",
        "update -qq",
        f"{install} gcc libc6-dev",
        f"{install} g++",
    ]
