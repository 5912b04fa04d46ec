#!/bin/sh
# Installs this kit without a network:  sh install.sh [--prefix DIR] [--photos DIR]
#   --prefix DIR   where to (default: /opt/edgesim, as root)
#   --photos DIR   have systemd add the photos of this folder to the index /var/lib/edgesim/index
#   --rollback     go back to the installation before
# PYTHON names the interpreter (default: python@PYTHON@). Nothing that is in use changes before the new
# installation has passed its self-test.
set -eu

kit=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
prefix=/opt/edgesim
photos=
rollback=

fail() {
    echo "install.sh: $1" >&2
    exit "${2:-1}"
}

while [ $# -gt 0 ]; do
    case $1 in
    --prefix | --photos)
        [ -n "${2:-}" ] || fail "$1: expected a folder after it" 2
        case $1 in
        --prefix) prefix=$2 ;;
        --photos) photos=$2 ;;
        esac
        shift 2
        ;;
    --rollback)
        rollback=yes
        shift
        ;;
    -h | --help)
        sed -n '2,7s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    *) fail "unknown argument $1; usage: sh install.sh [--prefix DIR] [--photos DIR] [--rollback]" 2 ;;
    esac
done

python=${PYTHON:-python@PYTHON@}
command -v "$python" >/dev/null 2>&1 ||
    fail "no $python here, this kit is for @TITLE@ (@ARCHITECTURE@, Python @PYTHON@); set PYTHON=/path/to/python@PYTHON@"
[ -z "$photos" ] || [ -d "$photos" ] || fail "--photos: $photos is no folder"

step() {
    "$python" -I -S "$kit/install.py" "$@" --prefix "$prefix"
}

if [ "$rollback" ]; then
    step rollback
    exit
fi

# Whatever ends us, what was staged does not stay behind.
staged=$prefix/releases/.staged
trap 'rm -rf "$staged"; rmdir "$prefix/releases" "$prefix" 2>/dev/null || :' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

if [ "$photos" ]; then
    step stage --photos "$photos"
else
    step stage
fi

libraries=$staged/lib/shared
if [ -d "$libraries" ]; then
    LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH
fi
status=0
step self-test || status=$?
[ "$status" -ne 132 ] ||
    fail "self-test: this CPU lacks instructions that the packages are built with; nothing was changed"
[ "$status" -eq 0 ] || fail "self-test failed (exit status $status); nothing was changed"
step switch

[ "$photos" ] || exit 0
units=$prefix/current/systemd
if [ "$(id -u)" -ne 0 ] || [ ! -d /run/systemd/system ]; then
    echo "systemd units: $units; as root, where systemd runs, --photos installs them"
    exit 0
fi
cp "$units"/*.service "$units"/*.timer /etc/systemd/system/
mkdir -p /etc/sysusers.d
cp "$units/edgesim.conf" /etc/sysusers.d/
systemd-sysusers /etc/sysusers.d/edgesim.conf
systemctl daemon-reload
systemctl enable --now edgesim-index.timer
echo "systemd: edgesim-index.timer adds new photos of $photos to /var/lib/edgesim/index every minute"
