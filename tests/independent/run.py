#!/usr/bin/env python3
"""Compares many random archives, each with several sets of options.

    python3 tests/independent/run.py --binary PATH/flowgap --seeds A..B [--keep DIR] [--summary]

Prints the differences of every comparison under its command line, then one line with the totals; exits 1 when anything
differs. `--keep` writes the archives below DIR and leaves them there; `--summary` counts differences by field instead.
Archives without `--subnet` whose inferred subnets differ are compared no further.
"""
import argparse
import json
import os
import re
import sys
import tempfile
from collections import Counter

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from compare import compare  # noqa: E402
from flows import HOUR, moment_of, text_of  # noqa: E402
from random_archive import Archive  # noqa: E402


def option_sets(seed, about, folder):
    """Options of an archive: always with subnet and tags, and three others that change with the seed."""
    subnet, tags = {'subnet': about['subnets']}, {'service_tags': os.path.join(folder, about['tags'])}
    start, end = moment_of(about['start']), moment_of(about['end'])
    inner = {'from': text_of(start + HOUR + 90_000), 'to': text_of(max(end - HOUR, start + 2 * HOUR))}
    others = [
        {**subnet}, {**tags}, {}, {**subnet, **tags, 'vnet_mode': 'internal'}, {**subnet, 'vnet_mode': 'external'},
        {**subnet, **tags, 'edition': '2016-12'}, {**tags, 'edition': '2021-08-stv1', **subnet},
        {**subnet, **tags, 'vnet': ['10.30.0.0/16', '198.51.100.0/28']}, {**subnet, **tags, **inner}, {**tags, **inner},
        {**subnet, **tags, 'service_tags_date': '2026-04-25'}, {'subnet': about['subnets'][:1], **tags},
        {'subnet': ['10.30.0.0/22'], **tags}, {'subnet': ['10.99.0.0/24'], **tags}, {**subnet, **tags, 'edition': 'v2-inject-2025-10'},
    ]
    return [{**subnet, **tags}] + [others[(3 * seed + step) % len(others)] for step in range(3)]


def container(folder):
    return next(os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.startswith('insights-logs-'))


def field_of(line):
    """A difference without addresses, ids and values, for the summary."""
    key = line.split(': theirs')[0]
    return re.sub(r'F-[0-9a-f]{8}|\(.*\)|APIM-[A-Z-]+|[0-9a-f.:]+/\d+', '', key).strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--binary', required=True)
    parser.add_argument('--seeds', default='1..20')
    parser.add_argument('--keep')
    parser.add_argument('--summary', action='store_true')
    options = parser.parse_args()
    first, last = map(int, options.seeds.split('..'))
    runs = findings = rows = differing = 0
    fields = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(first, last + 1):
            folder = os.path.join(options.keep or scratch, str(seed))
            os.makedirs(folder, exist_ok=True)
            Archive(seed).write(folder)
            with open(os.path.join(folder, 'archive.json'), encoding='utf-8') as file:
                about = json.load(file)
            for chosen in option_sets(seed, about, folder):
                differences, of_findings, of_rows = compare(options.binary, [container(folder)], chosen)
                runs, findings, rows = runs + 1, findings + of_findings, rows + of_rows
                differing += bool(differences)
                fields.update(map(field_of, differences))
                if differences and not options.summary:
                    print('seed %d %s' % (seed, json.dumps(chosen)))
                    print('\n'.join('  ' + line for line in differences))
    for field, count in fields.most_common() if options.summary else ():
        print('%6d %s' % (count, field))
    print('%d runs, %d findings, %d coverage rows, %d runs differ' % (runs, findings, rows, differing))
    raise SystemExit(bool(differing))


if __name__ == '__main__':
    main()
