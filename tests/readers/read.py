"""Reads the files that `flowgap sql -o` wrote, by other engines: all say what the CSV says."""

import csv
import sys
from datetime import datetime, timezone
from pathlib import Path

import duckdb
import pandas
import polars

folder = Path(sys.argv[1])
with open(folder / 'flows.csv', newline='') as file:
    expected = list(csv.DictReader(file))
assert len(expected) > 5000, len(expected)


def check(engine, columns, rows):
    """Compares `rows`, as dicts of Python values, with what the CSV says."""
    assert columns[:-1] == list(expected[0]), (engine, columns)
    assert columns[-1] == 'tags', (engine, columns)
    assert len(rows) == len(expected), (engine, len(rows))
    for row, wanted in zip(rows, expected):
        assert isinstance(row['tags'], list), (engine, row['tags'])
        for name, text in wanted.items():
            value = row[name]
            if isinstance(value, datetime):
                value = value.astimezone(timezone.utc).isoformat(timespec='milliseconds').replace('+00:00', 'Z')
            if isinstance(value, float) and value == value:
                value = int(value)
            is_null = value is None or value is pandas.NaT or value != value
            assert ('' if is_null else str(value)) == text, (engine, name, row[name], text)


parquet, arrow = str(folder / 'flows.parquet'), str(folder / 'flows.arrow')

answer = duckdb.sql(f"SET TimeZone = 'UTC'; SELECT * FROM '{parquet}'")
check('duckdb', answer.columns, [dict(zip(answer.columns, row)) for row in answer.fetchall()])

for read, path in [(polars.read_parquet, parquet), (polars.scan_parquet, parquet), (polars.read_ipc, arrow)]:
    frame = read(path)
    frame = frame.collect() if isinstance(frame, polars.LazyFrame) else frame
    check(f'polars {read.__name__}', frame.columns, frame.to_dicts())

frame = pandas.read_parquet(parquet)
frame['tags'] = frame['tags'].map(list)
check('pandas', list(frame.columns), frame.astype(object).to_dict('records'))

frame = polars.read_ipc(arrow)
[count] = duckdb.sql('SELECT count(*), sum(dst_port) FROM frame').fetchall()
assert count == (len(expected), sum(int(row['dst_port']) for row in expected)), count
print(f'{len(expected)} rows read alike by DuckDB, Polars and pandas')
