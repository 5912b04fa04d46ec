"""The tables of docs/index-reliability.md, from bench/results."""

from __future__ import annotations

import bench_churn
import bench_index_durability

from pages.page import Page, Tables, measured_on

TABLES: Tables = {
    "churn": ("churn", bench_churn.samples_table),
    "growth": ("churn", bench_churn.growth_table),
    "churned indexes": ("churn", bench_churn.indexes_table),
    "durability measured on": ("index_durability", measured_on),
    "adds": ("index_durability", bench_index_durability.adds_table),
    "adds with a graph": ("index_durability", bench_index_durability.graphs_table),
    "opening": ("index_durability", bench_index_durability.opening_table),
}
PAGES = [Page(title="index-reliability.md", tables=TABLES)]
