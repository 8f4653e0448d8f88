"""Answers the queries of a folder by DuckDB, over the rows that `flowgap sql -o` wrote there."""

import json
import sys
from pathlib import Path

import duckdb

folder = Path(sys.argv[1])
connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'; SET threads = 2")
connection.execute(f"CREATE TABLE flows AS SELECT * FROM '{folder / 'flows.parquet'}'")


def answer(query):
    """The row as text, or the error."""
    try:
        [row] = connection.execute(query).fetchall()
    except duckdb.Error as error:
        return f'error: {error}'
    return '|'.join('NULL' if value is None else str(value) for value in row)


answers = [answer(query) for query in json.loads((folder / 'queries.json').read_text())]
(folder / 'answers.json').write_text(json.dumps(answers))
if '--errors' in sys.argv:
    for text in sorted({text for text in answers if text.startswith('error')}):
        print(text, file=sys.stderr)
