"""The tables of docs/arm.md, from bench/results/arm: written into the page, or checked.

python bench/arm_tables.py [--check]
"""

from __future__ import annotations

import sys

import arm_check
import bench_arm
import bench_arm_32bit
import bench_arm_machine
from doc_tables import Page, Tables, main

TABLES: Tables = {
    "check": ("arm/check", lambda result: arm_check.report(result["cores"])),
    "figures": ("arm/figures", bench_arm.report),
    "32bit": ("arm/32bit", bench_arm_32bit.report),
    "machine": ("arm/machine", bench_arm_machine.report),
}
PAGES = [Page(title="arm.md", script="arm_tables.py", tables=TABLES)]

if __name__ == "__main__":
    sys.exit(main(PAGES))
