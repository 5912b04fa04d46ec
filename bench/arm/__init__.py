"""The device side in a real ARM user space, emulated by QEMU on an x86 machine: see docs/arm.md."""
