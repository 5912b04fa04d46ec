"""A whole emulated machine: QEMU's board `virt` with a Debian kernel, so that memory really ends somewhere.

User emulation has the host's kernel and memory. Here the guest has its own, and its own out-of-memory killer.
With `-icount shift=0` one instruction takes one nanosecond of the guest's clock, so clocks count them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from arm.root import PYTHON_PACKAGES, unpacked_root

# What the kit's installer needs of a system.
USER_PACKAGES = (*PYTHON_PACKAGES, "coreutils", "grep", "sed")
# The kernel for clouds is small and knows virtio.
_KERNEL_PACKAGES = ("busybox-static", "linux-image-cloud-arm64")
_MODULES = ("virtio", "virtio_ring", "virtio_mmio", "virtio_blk")
_MOUNTED = ("proc", "sys", "dev", "tmp")
_SPARE_MIB = 600
_INIT = """\
#!/bin/busybox sh
export PATH=/bin
for applet in ln mount insmod sleep chroot poweroff dmesg grep; do
    /bin/busybox ln -s busybox /bin/$applet
done
mount -t proc none /proc
mount -t devtmpfs none /dev
for module in MODULES; do insmod /modules/$module.ko; done
while [ ! -b /dev/vda ]; do sleep 0.1; done
mount -t ext4 /dev/vda /root
for type in proc sysfs devtmpfs tmpfs; do
    case $type in proc) at=proc ;; sysfs) at=sys ;; devtmpfs) at=dev ;; tmpfs) at=tmp ;; esac
    mount -t $type none /root/$at
done
# As udev would. Then, as in arm.guest: no instructions for SHA-256, which the board lacks.
ln -s /proc/self/fd /root/dev/fd
export HOME=/root LANG=C.UTF-8 PYTHONHASHSEED=0 OPENSSL_armcap=1
chroot /root /bin/sh -c "PATH=/usr/bin:/bin exec /bin/sh /job/run"
echo "status $?"
echo "killed $(dmesg | grep -c 'Out of memory')"
poweroff -f
"""


def boot(
    work: Path, cache: Path, root: Path, job: Mapping[str, Path | str], cpu: str, mib: int
) -> Iterator[str]:
    """Boot a machine, run a job in it, and yield the lines that it prints.

    The last two are `status N`, the job's exit status, and `killed N`: how often memory ran out.

    Args:
        work: a folder for disk image and initial RAM disk.
        cache: folder of unpacked user spaces.
        root: the user space.
        job: name -> folder or file to copy, or text; laid at /job. `run` is the shell script that is run.
        cpu: as QEMU's option `-cpu` takes it.
        mib: memory.
    """
    system = unpacked_root(cache, "bookworm", "arm64", _KERNEL_PACKAGES)
    kernel = next((system / "boot").glob("vmlinuz-*"))
    board = ["qemu-system-aarch64", "-M", "virt", "-cpu", cpu, "-m", str(mib)]
    console = ["-nographic", "-nodefaults", "-no-reboot", "-serial", "stdio"]
    disk = f"if=none,id=disk,format=raw,file={_disk_image(work, root, job)}"
    files = ["-kernel", str(kernel), "-initrd", str(_initrd(work, system)), "-drive", disk]
    command = [
        *board,
        "-icount",
        "shift=0,sleep=off",
        *console,
        *files,
        "-device",
        "virtio-blk-device,drive=disk",
    ]
    options = ["-append", "console=ttyAMA0 quiet panic=-1 random.trust_cpu=on"]
    with subprocess.Popen(
        [*command, *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield line.rstrip()


def _initrd(work: Path, system: Path) -> Path:
    tree = work / "initrd"
    for name in ("bin", "modules", "proc", "dev", "root"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(system / "bin/busybox", tree / "bin/busybox")
    for module in _MODULES:
        shutil.copy(next((system / "lib/modules").rglob(f"{module}.ko")), tree / "modules")
    (tree / "init").write_text(_INIT.replace("MODULES", " ".join(_MODULES)))
    (tree / "init").chmod(0o755)
    image = work / "initrd.img"
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    with image.open("wb") as stream:
        command = ["cpio", "--create", "--format=newc", "--quiet"]
        subprocess.run(command, cwd=tree, input=names.encode(), stdout=stream, check=True)
    return image


def _disk_image(work: Path, root: Path, job: Mapping[str, Path | str]) -> Path:
    tree = work / "disk"
    tree.mkdir()
    for entry in root.iterdir():
        # Without the root's device files, to copy /dev/zero takes long.
        if entry.is_symlink():
            (tree / entry.name).symlink_to(entry.readlink())
        elif entry.is_dir() and entry.name not in _MOUNTED:
            shutil.copytree(entry, tree / entry.name, symlinks=True)
    for name in (*_MOUNTED, "job"):
        (tree / name).mkdir()
    for name, source in job.items():
        target = tree / "job" / name
        if isinstance(source, str):
            target.write_text(source)
        elif source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    mib = sum(path.lstat().st_size for path in tree.rglob("*")) // 2**20 + _SPARE_MIB
    image = work / "disk.img"
    image.unlink(missing_ok=True)
    # mke2fs lies where only root's PATH leads.
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    command = ["mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(image), f"{mib}M"]
    subprocess.run(command, check=True, env=environment)
    shutil.rmtree(tree)
    return image
