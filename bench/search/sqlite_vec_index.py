"""sqlite-vec, https://github.com/asg017/sqlite-vec: a table of SQLite that compares with every row."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import numpy as np
import sqlite_vec

from search.library import Search
from search.vectors import DIM, K, Rows, Vectors

_FILE = "vectors.sqlite3"
_QUERY = "SELECT rowid FROM vectors WHERE embedding MATCH ? AND k = ? ORDER BY distance"


class Flat:
    """By Euclidean distance, which orders vectors of length 1 as their cosine does; one commit."""

    def build(self, vectors: Vectors, folder: Path) -> None:
        with contextlib.closing(_connect(folder)) as connection:
            connection.execute(f"CREATE VIRTUAL TABLE vectors USING vec0(embedding float[{DIM}])")
            with connection:
                connection.executemany(
                    "INSERT INTO vectors (rowid, embedding) VALUES (?, ?)",
                    ((row + 1, vector.tobytes()) for row, vector in enumerate(vectors)),
                )

    def open(self, folder: Path) -> Search:
        connection = _connect(folder)

        def search(query: Vectors) -> Rows:
            found = connection.execute(_QUERY, (query.tobytes(), K)).fetchall()
            return np.array([row[0] - 1 for row in found])

        return search


def _connect(folder: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(folder / _FILE)
    connection.enable_load_extension(True)
    sqlite_vec.load(connection)
    return connection
