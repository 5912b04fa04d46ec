"""Tables between the markers of a page, and what becomes of results that are measured again."""

import json
import re

import bench_copy_detection
import doc_tables
import pytest
from bench_similar import gallery_and_queries, product
from pages import copy_detection
from pages.page import Page

PAGE = "before\n<!-- table: one -->\nold\n<!-- end -->\nbetween\n<!-- table: two -->\n<!-- end -->\nafter\n"
TABLES = {
    "one": ("of/first", lambda result: f"| {result['value']} |"),
    "two": ("of/second", lambda result: r"\1"),
}


def test_tables_replace_what_is_between_their_markers(tmp_path):
    (tmp_path / "of").mkdir()
    (tmp_path / "of" / "first.json").write_text(json.dumps({"value": 7}))
    (tmp_path / "of" / "second.json").write_text("{}")
    page = doc_tables.filled(PAGE, TABLES, "page.md", tmp_path)
    assert page == (
        "before\n<!-- table: one -->\n| 7 |\n<!-- end -->\n"
        "between\n<!-- table: two -->\n\\1\n<!-- end -->\nafter\n"
    )
    assert doc_tables.filled(page, TABLES, "page.md", tmp_path) == page


def test_a_table_without_results_says_so(tmp_path):
    assert doc_tables.filled(PAGE, TABLES, "page.md", tmp_path).count("\nNot measured yet.\n") == 2


def test_a_table_without_a_place_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"^page\.md has no place for the table two$"):
        doc_tables.filled(PAGE.replace("two", "three"), TABLES, "page.md", tmp_path)


@pytest.fixture
def two_pages(tmp_path, monkeypatch):
    """Return two pages, other than their results would have them; their folder stands for docs/."""
    monkeypatch.setattr(doc_tables, "DOCS", tmp_path)
    files = [tmp_path / "one.md", tmp_path / "two.md"]
    for file in files:
        file.write_text("<!-- table: new -->\n<!-- end -->\n")
    pages = [Page(title=f"../{tmp_path.name}/{file.name}", tables={"new": ("no", str)}) for file in files]
    monkeypatch.setattr(doc_tables, "all_pages", lambda: pages)
    return files


def written(files):
    return [file.name for file in files if "Not measured yet." in file.read_text()]


def test_all_pages_are_written_or_checked(two_pages, capsys):
    differ = "".join(
        f"{n}.md differs from bench/results; run: python bench/doc_tables.py\n" for n in ("one", "two")
    )
    assert doc_tables.main(["--check"]) == 1
    assert capsys.readouterr().err == differ
    assert written(two_pages) == []
    assert doc_tables.main([]) == 0
    assert written(two_pages) == ["one.md", "two.md"]
    assert doc_tables.main(["--check"]) == 0
    assert capsys.readouterr().err == ""


def test_a_page_that_is_named_is_written_alone(two_pages):
    assert doc_tables.main(["two.md"]) == 0
    assert written(two_pages) == ["two.md"]
    assert doc_tables.main(["two.md", "--check"]) == 0
    assert doc_tables.main(["one.md", "two.md", "--check"]) == 1


def test_a_page_without_tables_is_named_in_vain(two_pages):
    with pytest.raises(SystemExit) as caught:
        doc_tables.main(["one.md", "three.md"])
    assert caught.value.code == "expected a page with tables, one of one.md, two.md; got three.md"
    assert written(two_pages) == []


def test_every_place_for_a_table_in_the_docs_has_one_that_is_checked():
    files = [*doc_tables.DOCS.glob("*.md"), doc_tables.DOCS.parent / "README.md"]
    places = {file: set(re.findall(r"<!-- table: (.*) -->", file.read_text())) for file in files}
    made = {(doc_tables.DOCS / page.title).resolve(): set(page.tables) for page in doc_tables.all_pages()}
    assert made == {file.resolve(): names for file, names in places.items() if names}


def test_what_is_measured_again_replaces_that_encoder_only():
    before = {
        "a": {"bytes": 1, "parts": {"mild": 1, "stacked": 2}, "latency": 3},
        "b": {"bytes": 2, "parts": {"mild": 4}},
    }
    after = {"a": {"bytes": 9, "parts": {"mild": 5}}, "c": {"parts": {}}}
    assert bench_copy_detection.merged(before, after) == {
        "a": {"bytes": 9, "parts": {"mild": 5, "stacked": 2}, "latency": 3},
        "b": {"bytes": 2, "parts": {"mild": 4}},
        "c": {"parts": {}},
    }


def test_grocery_photos_are_divided_by_their_file_names():
    train = [f"grocery/x__train__Fruit__Apple__Gala__Gala_{i:03}.webp" for i in range(5)]
    test = [f"grocery/x__test__Fruit__Apple__Gala__Gala_{i:03}.webp" for i in range(11)]
    gallery, queries = gallery_and_queries([*test, *train, "other/y__train__z__a.webp"])
    assert gallery == [train[0], train[2], train[4]]
    assert queries == [test[0], test[5], test[10]]
    assert product(test[0]) == "Gala"


def test_the_tables_of_a_part_are_ordered_by_normalised_micro_ap():
    def row(value, **recall):
        metrics = dict.fromkeys(("recall_at_1", "micro_ap", "recall_at_p90"), value)
        return {"parts": {"mild": {**metrics, "normalised": metrics, "recall_at_1_by": recall}}}

    size = {"bytes": 1234, "dim": 8}
    result = {
        "encoders": {
            "low": {**size, **row(0.25, crop=0.5, grey=1.0)},
            "high": {**size, **row(0.5, crop=0.75, grey=0.125), "bytes": 0},
            "elsewhere": {**size, "parts": {}, "latency": {"ms": 1.5, "over_sscd_224": 0.5}},
        }
    }
    assert copy_detection.part_table(result, "mild").splitlines()[2:] == [
        "| high | - | 8 | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 |",
        "| low | 1 | 8 | 0.250 | 0.250 | 0.250 | 0.250 | 0.250 |",
    ]
    assert copy_detection.labels_table(result, "mild").splitlines() == [
        "| encoder | crop | grey |",
        "| --- | --- | --- |",
        "| high | 0.75 | 0.12 |",
        "| low | 0.50 | 1.00 |",
    ]
    assert copy_detection.latency_table(result).splitlines()[2:] == ["| elsewhere | 1.50 | 0.50 |  |"]
