"""Checksums of entries: the short way to compute them is the long one."""

import zlib

import hypothesis.strategies as st
from hypothesis import given, settings

from edgesim.runtime.digests import digest, facts_digest

numbers = st.integers(-(2**63), 2**63 - 1)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@settings(deadline=None, derandomize=True, database=None)
@given(
    numbers, st.binary(max_size=8), text, numbers, numbers, numbers, st.dictionaries(text, text, max_size=3)
)
def test_the_checksum_of_an_entry_is_that_of_its_values_as_json(
    entry_id: int, path: bytes, sha256: str, size: int, mtime: int, vector: int, labels: dict[str, str]
) -> None:
    expected = digest(entry_id, path, sha256, size, mtime, vector, sorted(labels.items()))
    assert facts_digest(entry_id, path, sha256, size, mtime, vector, labels) == expected


def test_a_checksum_that_indexes_hold() -> None:
    written = b'[7, "/\\u00e9\\n", "ab", 3, 4, 5, [["a\\"", "\\u00fc"], ["b", ""]]]'
    assert facts_digest(7, b"/\xe9\n", "ab", 3, 4, 5, {"b": "", 'a"': "ü"}) == zlib.crc32(written)
