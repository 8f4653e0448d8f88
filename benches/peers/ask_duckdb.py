#!/usr/bin/env python3
"""Asks DuckDB which flows of an archive were denied.

    python3 ask_duckdb.py DIR vnet4|nsg2 json|text

Takes the folder with the PT1H.json blobs, their kind, and how to read them. Gives CSV without a header on stdout: rule,
dst_port, protocol, direction, denied_tuples, destinations, first_ms, last_ms, sorted by the first four.

json: from_json() of read_json_objects(). read_json() with explicit columns took five times as long.
text: a blob, being one line, is read as a CSV row of one column, since read_text() uses one core only, and cut at each rule,
then at each quote, then denied tuples at their commas.
"""
import csv
import sys
from pathlib import Path

import duckdb

MS_PER_UNIT = {'vnet4': 1, 'nsg2': 1000}

JSON = {
    'vnet4': r"""
    blobs AS (
        SELECT from_json(json, '{"records": [{"flowRecords": {"flows": [{"flowGroups": [{"rule": "VARCHAR",
                                 "flowTuples": ["VARCHAR"]}]}]}}]}') AS blob
        FROM read_json_objects($blobs, format = 'unstructured', hive_partitioning = false,
                               maximum_object_size = $longest)
    ),
    records AS (SELECT unnest(blob.records) AS record FROM blobs),
    flows AS (SELECT unnest(record.flowRecords.flows) AS flow FROM records),
    groups AS (SELECT unnest(flow.flowGroups) AS g FROM flows),
    tuples AS (SELECT g.rule AS rule, unnest(g.flowTuples) AS tuple FROM groups),
""",
    'nsg2': r"""
    blobs AS (
        SELECT from_json(json, '{"records": [{"properties": {"flows": [{"rule": "VARCHAR",
                                 "flows": [{"flowTuples": ["VARCHAR"]}]}]}}]}') AS blob
        FROM read_json_objects($blobs, format = 'unstructured', hive_partitioning = false,
                               maximum_object_size = $longest)
    ),
    records AS (SELECT unnest(blob.records) AS record FROM blobs),
    flows AS (SELECT unnest(record.properties.flows) AS flow FROM records),
    groups AS (SELECT flow.rule AS rule, unnest(flow.flows) AS g FROM flows),
    tuples AS (SELECT rule, unnest(g.flowTuples) AS tuple FROM groups),
""",
}

TEXT = r"""
    blobs AS (
        FROM read_csv($blobs, columns = {blob: 'VARCHAR'}, auto_detect = false, header = false, hive_partitioning = false,
                      delim = '\x01', quote = '', escape = '', max_line_size = $longest)
    ),
    groups AS (SELECT unnest(string_split(blob, '"rule":"')) AS part FROM blobs),
    texts AS (SELECT string_split(part, '"') AS texts FROM groups WHERE contains(part, ',D,')),
    tuples AS (SELECT texts[1] AS rule, unnest(texts) AS tuple FROM texts),
"""

QUESTION = r"""
    denied AS (SELECT rule, string_split(tuple, ',') AS c FROM tuples WHERE contains(tuple, ',D,'))
SELECT
    rule,
    c[5]::USMALLINT AS dst_port,
    CASE WHEN c[6] IN ('6', 'T') THEN 'TCP' WHEN c[6] IN ('17', 'U') THEN 'UDP' ELSE c[6] END AS protocol,
    CASE c[7] WHEN 'I' THEN 'inbound' WHEN 'O' THEN 'outbound' ELSE c[7] END AS direction,
    count(*),
    count(DISTINCT c[3]),
    min(c[1]::BIGINT) * $ms_per_unit,
    max(c[1]::BIGINT) * $ms_per_unit
FROM denied
WHERE c[8] = 'D'
GROUP BY ALL
ORDER BY rule, dst_port, protocol, direction
"""


def main(folder, kind, how):
    """Prints the answer."""
    blobs = list(Path(folder).rglob('PT1H.json'))
    params = {
        'blobs': [str(blob) for blob in blobs],
        'longest': max(blob.stat().st_size for blob in blobs) + len('\r\n'),
        'ms_per_unit': MS_PER_UNIT[kind],
    }
    tables = JSON[kind] if how == 'json' else TEXT
    rows = duckdb.execute(f'WITH {tables} {QUESTION}', params).fetchall()
    csv.writer(sys.stdout, lineterminator='\n').writerows(rows)


if __name__ == '__main__':
    main(*sys.argv[1:])
