#!/usr/bin/env python3
"""Asks Polars which flows of an archive were denied.

    python3 ask_polars.py DIR vnet4|nsg2 json|text

Takes the folder with the PT1H.json blobs, their kind, and how to read them. Gives CSV without a header on stdout: rule,
dst_port, protocol, direction, denied_tuples, destinations, first_ms, last_ms, sorted by the first four.

json: scan_ndjson() with a schema, then explode().
text: a blob, being one line, is read as a line and cut at each rule, then at each quote, then denied tuples at their commas.
"""
import sys
from pathlib import Path

import polars as pl

MS_PER_UNIT = {'vnet4': 1, 'nsg2': 1000}
KEYS = ['rule', 'dst_port', 'protocol', 'direction']
DENIED = pl.col('tuple').str.contains(',D,', literal=True)


def vnet4(blobs):
    """`rule` and `tuple` of VNet flow logs."""
    group = pl.Struct({'rule': pl.String, 'flowTuples': pl.List(pl.String)})
    flow = pl.Struct({'flowGroups': pl.List(group)})
    record = pl.Struct({'flowRecords': pl.Struct({'flows': pl.List(flow)})})
    return (
        pl.scan_ndjson(blobs, schema={'records': pl.List(record)})
        .explode('records')
        .select(flow=pl.col('records').struct.field('flowRecords').struct.field('flows')).explode('flow')
        .select(group=pl.col('flow').struct.field('flowGroups')).explode('group')
        .select(rule=pl.col('group').struct.field('rule'), tuple=pl.col('group').struct.field('flowTuples'))
        .explode('tuple')
    )


def nsg2(blobs):
    """`rule` and `tuple` of NSG flow logs."""
    group = pl.Struct({'flowTuples': pl.List(pl.String)})
    flow = pl.Struct({'rule': pl.String, 'flows': pl.List(group)})
    record = pl.Struct({'properties': pl.Struct({'flows': pl.List(flow)})})
    return (
        pl.scan_ndjson(blobs, schema={'records': pl.List(record)})
        .explode('records')
        .select(flow=pl.col('records').struct.field('properties').struct.field('flows')).explode('flow')
        .select(rule=pl.col('flow').struct.field('rule'), group=pl.col('flow').struct.field('flows')).explode('group')
        .select('rule', tuple=pl.col('group').struct.field('flowTuples')).explode('tuple')
    )


def text(blobs):
    """`rule` and `tuple` of any logs; what is no tuple is among them."""
    return (
        pl.scan_lines(blobs, name='blob')
        .select(tuple=pl.col('blob').str.split('"rule":"')).explode('tuple').filter(DENIED)
        .select(tuple=pl.col('tuple').str.split('"'))
        .select('tuple', rule=pl.col('tuple').list.first()).explode('tuple')
    )


def column(number):
    """A column of the tuple in `c`, counted from 0."""
    return pl.col('c').struct.field(f'field_{number}')


def main(folder, kind, how):
    """Prints the answer."""
    blobs = list(Path(folder).rglob('PT1H.json'))
    tuples = text(blobs) if how == 'text' else {'vnet4': vnet4, 'nsg2': nsg2}[kind](blobs)
    denied = tuples.filter(DENIED).select('rule', c=pl.col('tuple').str.splitn(',', 9)).filter(column(7) == 'D')
    flows = denied.select(
        'rule',
        dst_port=column(4).cast(pl.UInt16),
        protocol=column(5).replace({'6': 'TCP', 'T': 'TCP', '17': 'UDP', 'U': 'UDP'}),
        direction=column(6).replace({'I': 'inbound', 'O': 'outbound'}),
        destination=column(2),
        ms=column(0).cast(pl.Int64) * MS_PER_UNIT[kind],
    )
    answer = flows.group_by(KEYS).agg(
        denied_tuples=pl.len(),
        destinations=pl.col('destination').n_unique(),
        first_ms=pl.col('ms').min(),
        last_ms=pl.col('ms').max(),
    )
    answer.sort(KEYS).collect(engine='streaming').write_csv(sys.stdout, include_header=False)


if __name__ == '__main__':
    main(*sys.argv[1:])
