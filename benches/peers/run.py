#!/usr/bin/env python3
"""Asks flowgap, ClickHouse, Polars and DuckDB the same question of the same archives, compares answers, then times.

    python3 benches/peers/run.py [--hours N] [--kind vnet4|nsg2|both] [--runs N] [--archive DIR ...]

Takes archives, or makes them by `flowgap generate` below the temporary folder. Gives a Markdown table for each on stdout,
progress and what went wrong on stderr. Exits with 1 if an answer is not flowgap's, or flowgap gives none. README.md tells
how each engine is asked. Standard library only; the engines live in a virtual environment that is made when needed.
"""
import argparse
import csv
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
REQUIREMENTS = HERE / 'requirements.txt'
VENV = Path(os.environ.get('FLOWGAP_PEERS_VENV', '~/.cache/flowgap/peers-venv')).expanduser()
TIMEOUT_S = 600
SHOWN_DIFFERENCES = 5


class Run(NamedTuple):
    """One process from start to end: wall time, peak resident memory, and stdout or why there is none."""
    seconds: float
    peak_bytes: int
    answer: str
    failure: str


class Engine(NamedTuple):
    """What is asked, and how it reads blobs; the folder comes after `command`, for peers then the kind of logs and `how`."""
    name: str
    version: str
    command: list
    how: str = ''

    @property
    def title(self):
        """Tells it apart."""
        return f'{self.name}, {self.how}' if self.how else self.name


def main():
    """Prepares all, then measures archive after archive."""
    options = arguments()
    flowgap = build()
    version = subprocess.run([flowgap, '--version'], check=True, capture_output=True, text=True).stdout.split()[-1]
    asked = [flowgap, 'sql', '--file', HERE / 'question.sql', '--format', 'csv', '--quiet']
    engines = [Engine('flowgap', version, asked), *peers()]
    for folder in options.archive or [generated(flowgap, kind, options.hours) for kind in options.kinds]:
        measure(engines, folder.resolve(), options.runs)


def arguments():
    """The command line, with `kinds` added."""
    parser = argparse.ArgumentParser(description='Compares flowgap with other engines; see README.md.')
    parser.add_argument('--hours', type=int, default=112, help='length of a generated archive [112, about 4 GB]')
    parser.add_argument('--kind', choices=['vnet4', 'nsg2', 'both'], default='both', help='of generated archives')
    parser.add_argument('--runs', type=positive, default=5, help='recorded runs of each engine [5]')
    parser.add_argument('--archive', type=Path, nargs='+', help='use these folders, generate none')
    options = parser.parse_args()
    options.kinds = ['vnet4', 'nsg2'] if options.kind == 'both' else [options.kind]
    return options


def positive(text):
    """A number of at least 1."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f'{text} is no number of at least 1')
    return int(text)


def build():
    """Builds the release executable; gives its path."""
    command = ['cargo', 'build', '--release', '--bin', 'flowgap', '--message-format=json-render-diagnostics']
    built = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    messages = map(json.loads, built.stdout.splitlines())
    return next(m['executable'] for m in messages if m.get('executable'))


def peers():
    """The other engines, in the order they are asked, installed as pinned."""
    python = VENV / 'bin' / 'python'
    if not (VENV / 'bin' / 'pip').exists():
        subprocess.run([sys.executable, '-m', 'venv', VENV], check=True)
    pip = [python, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--requirement', REQUIREMENTS]
    subprocess.run(pip, check=True)
    pinned = dict(line.split('==') for line in REQUIREMENTS.read_text().split())
    engines = [
        ('ClickHouse', f'chdb-core {pinned["chdb-core"]}', [python, HERE / 'ask_clickhouse.py']),
        ('Polars', pinned['polars'], [python, HERE / 'ask_polars.py']),
        ('DuckDB', pinned['duckdb'], [python, HERE / 'ask_duckdb.py']),
    ]
    return [Engine(*engine, how) for how in ('json', 'text') for engine in engines]


def generated(flowgap, kind, hours):
    """A folder with an archive of `flowgap generate`, made unless it is there already."""
    folder = Path(tempfile.gettempdir()) / f'flowgap-peers-{kind}-{hours}'
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(prefix='flowgap-peers-', dir=folder.parent) as partial:
            size = ['--hours', str(hours), '--interfaces', '8', '--tuples-per-minute', '1000']
            subprocess.run([flowgap, 'generate', f'{partial}/archive', '--kind', kind, *size], check=True)
            os.rename(f'{partial}/archive', folder)
    return folder


def kind_of(blob):
    """The kind of logs that a blob holds."""
    return 'vnet4' if b'"flowRecords"' in blob.read_bytes() else 'nsg2'


def measure(engines, folder, runs):
    """Asks the engines in turn, `runs` times, and prints the table of one archive."""
    blobs = list(folder.rglob('PT1H.json'))
    if not blobs:
        sys.exit(f'{folder} holds no PT1H.json')
    size = sum(blob.stat().st_size for blob in blobs)
    kind = kind_of(blobs[0])

    flowgap = engines[0]
    warm = ask(flowgap, folder, kind)
    if warm.failure:
        sys.exit(f'flowgap {warm.failure}')
    recorded = {engine.title: [] for engine in engines}
    for _, engine in itertools.product(range(runs), engines):
        done = recorded[engine.title]
        if done and done[-1].failure:
            continue
        run = ask(engine, folder, kind)
        print(f'{folder.name}: {engine.title} {run.failure or f"{run.seconds:.2f} s"}', file=sys.stderr)
        if run.failure and engine is flowgap:
            sys.exit(1)
        if not run.failure:
            compare(engine.title, run.answer, warm.answer)
        done.append(run)

    print(f'\n{folder.name}: {kind}, {len(blobs)} blobs, {size / 1e9:.2f} GB; median of {runs} runs\n')
    print('| engine | version | s | MB/s | time, flowgap = 1 | peak MB |')
    print('|---|---|---|---|---|---|')
    reference = median_seconds(recorded['flowgap'])
    for engine in engines:
        print(row(engine, recorded[engine.title], size, reference))


def ask(engine, folder, kind):
    """Runs an engine as a fresh process; what it writes to stderr is passed on."""
    command = [*engine.command, folder, *([kind, engine.how] if engine.how else [])]
    with tempfile.TemporaryFile('w+') as answer:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=answer)
        timer = threading.Timer(TIMEOUT_S, process.kill)
        timer.daemon = True
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        answer.seek(0)
        if engine.name == 'flowgap':
            answer.readline()  # The names of its columns; the others give none.
        return Run(seconds, usage.ru_maxrss * 1024, answer.read(), failure(process.returncode, seconds))


def failure(exit_code, seconds):
    """Why a process gave no answer; empty if it did."""
    if seconds >= TIMEOUT_S:
        return f'stopped after {TIMEOUT_S} s'
    return f'failed with exit status {exit_code}' if exit_code else ''


def compare(name, answer, expected):
    """Ends the program if an answer's rows are not flowgap's."""
    theirs, ours = (sorted(csv.reader(text.splitlines())) for text in (answer, expected))
    if theirs == ours:
        return
    for owner, rows, others in ((name, theirs, ours), ('flowgap', ours, theirs)):
        for different in [row for row in rows if row not in others][:SHOWN_DIFFERENCES]:
            print(f'only {owner} says {",".join(different)}', file=sys.stderr)
    sys.exit(f'{name}: {len(theirs)} rows, which are not the {len(ours)} of flowgap')


def median_seconds(runs):
    """The median wall time."""
    return statistics.median(run.seconds for run in runs)


def row(engine, runs, size, reference):
    """A line of the table; an engine that gave no answer once has no times."""
    if runs[-1].failure:
        return f'| {engine.title} | {engine.version} | {runs[-1].failure} | | | {peak_mb(runs):.0f} |'
    seconds = median_seconds(runs)
    rate = size / 1e6 / seconds
    return (f'| {engine.title} | {engine.version} | {seconds:.2f} | {rate:.0f} | {seconds / reference:.2f} '
            f'| {peak_mb(runs):.0f} |')


def peak_mb(runs):
    """The greatest peak of all runs."""
    return max(run.peak_bytes for run in runs) / 1e6


if __name__ == '__main__':
    main()
