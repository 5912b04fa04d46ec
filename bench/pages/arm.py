"""The tables of docs/arm.md, from bench/results/arm."""

from __future__ import annotations

import arm_check
import bench_arm
import bench_arm_32bit
import bench_arm_machine

from pages.page import Page, Tables

TABLES: Tables = {
    "check": ("arm/check", lambda result: arm_check.report(result["cores"])),
    "figures": ("arm/figures", bench_arm.report),
    "32bit": ("arm/32bit", bench_arm_32bit.report),
    "machine": ("arm/machine", bench_arm_machine.report),
}
PAGES = [Page(title="arm.md", tables=TABLES)]
