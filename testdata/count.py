#!/usr/bin/env python3
"""Counts what the files of testdata hold, from the documents alone: the decoder's counts are held against these.

    python3 count.py            prints the counts of every file as JSON
    python3 count.py --write    writes counts.json beside this script
    python3 count.py FOLDER     counts another folder's files

Standard library only. Of each file: records that could be read, bad ones (records, parts of them, or stretches of bytes, that are none),
records of other logs, tuples, denied and malformed ones, tuples by the version of their record, first and last flow time in ms since 1970.
Records are found with json.JSONDecoder.raw_decode wherever an object begins, so a spoiled blob gives its whole records.
"""
import datetime
import gzip
import ipaddress
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
DECODER = json.JSONDecoder()
LAST_TIME = 253402300799999
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MILLISECOND = datetime.timedelta(milliseconds=1)
# A flow's time is from 2015-01-01 to 2100-01-01 and at most 90 days from its record's, or from its path's hour.
EARLIEST, LATEST, FARTHEST = 1420070400000, 4102444800000, 90 * 86400000


def number(text, longest, largest):
    """A number of ASCII digits, no sign, no more digits than `longest`."""
    if not re.fullmatch('[0-9]{1,%d}' % longest, text) or int(text) > largest:
        raise ValueError(text)
    return int(text)


def address(text):
    if '.' in text and ':' not in text:
        parts = text.split('.')
        if len(parts) != 4 or any(not re.fullmatch('0|[1-9][0-9]{0,2}', part) or int(part) > 255 for part in parts):
            raise ValueError(text)
    else:
        if '%' in text:
            raise ValueError(text)
        ipaddress.IPv6Address(text)


def tuple_of(text):
    """(time in ms, denied) or ValueError."""
    if not isinstance(text, str):
        raise ValueError('no text')
    columns = text.split(',')
    if len(columns) < 8:
        raise ValueError('too few columns')
    time = number(columns[0], 19, 2**63 - 1)
    if time < 10**11:
        time *= 1000
    if time > LAST_TIME:
        raise ValueError('time')
    address(columns[1])
    address(columns[2])
    number(columns[3], 5, 65535)
    number(columns[4], 5, 65535)
    if columns[6] not in ('I', 'O'):
        raise ValueError('direction')
    if columns[5] in ('T', 'U'):
        if columns[7] not in ('A', 'D') or (columns + [''])[8] not in ('', 'B', 'C', 'E'):
            raise ValueError('decision or state')
    else:
        number(columns[5], 3, 255)
        if columns[7] not in ('B', 'C', 'E', 'D'):
            raise ValueError('state')
    for counter in columns[9:13]:
        if counter:
            number(counter, 19, 2**63 - 1)
    return time, columns[7] == 'D'


def hour_of(path):
    """The hour that a path names, in ms since 1970, or None."""
    found = re.search(r'(?:^|/)y=([0-9]{4})/m=([0-9]+)/d=([0-9]+)/h=([0-9]+)/m=[0-9]+/', path, re.IGNORECASE)
    if not found:
        return None
    try:
        hour = datetime.datetime(*(int(part) for part in found.groups()), tzinfo=datetime.timezone.utc)
    except ValueError:
        return None
    return (hour - EPOCH) // MILLISECOND


def get(value, key, default=None):
    """The last value of a key, in any case."""
    found = [inner for name, inner in value.items() if name.lower() == key.lower()] if isinstance(value, dict) else []
    return found[-1] if found else default


def has(value, key):
    return isinstance(value, dict) and any(name.lower() == key.lower() for name in value)


def time_of(record):
    """The time of a record in ms since 1970, or None where it has none that can be read before its flows."""
    keys = [key.lower() for key in record]
    body = keys.index('flowrecords' if 'flowrecords' in keys else 'properties')
    time = get(record, 'time')
    if 'time' not in keys[:body] or not isinstance(time, str):
        return None
    found = re.fullmatch(
        r'([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?(Z|[+-][0-9]{2}:[0-9]{2})',
        time, re.IGNORECASE,
    )
    if not found:
        return None
    seconds, fraction, zone = found.groups()
    zone = '+00:00' if zone in 'Zz' else zone
    try:
        time = datetime.datetime.fromisoformat(seconds.upper() + zone)
    except ValueError:
        return None
    return (time - EPOCH) // MILLISECOND + int(((fraction or '') + '000')[:3])


class Count:
    def __init__(self, hour=None):
        self.hour = hour
        self.records = self.bad_records = self.tuples = self.denied = self.malformed_tuples = 0
        self.foreign = 0
        self.versions = {'nsg1': 0, 'nsg2': 0, 'vnet4': 0}
        self.first = self.last = None
        self.has_other_values = self.is_flow_log = False

    def record(self, record):
        """An object of `records`."""
        key, body = None, None
        if has(record, 'flowRecords'):
            key, body = ('vnet4' if get(record, 'flowLogVersion', 4) == 4 else None), get(record, 'flowRecords')
        elif has(record, 'properties'):
            body = get(record, 'properties')
            versions = [get(scope, 'Version') for scope in (body if isinstance(body, list) else [body]) if has(scope, 'Version')]
            version = versions[-1] if versions else 2
            key = {1: 'nsg1', 2: 'nsg2'}.get(version) if type(version) is int else None
        found = Lists()
        if body is not None or has(record, 'flowRecords') or has(record, 'properties'):
            found.scopes(body)
        text = json.dumps(record, ensure_ascii=False)
        # Bytes that are no UTF-8: then it is no JSON.
        is_text = not re.search('[\udc80-\udcff]', text)
        if is_text and found.lists == 0 and not has(record, 'flowRecords') and names_other_log(record):
            self.foreign += 1
            return
        self.is_flow_log |= found.is_due or bool(re.search('flow(Tuples|Records|Groups|Event|Log)|macAddress', text, re.IGNORECASE))
        if key is None or not is_text or found.lists == 0:
            self.bad_records += 1
            return
        self.records += 1
        self.bad_records += found.unread
        near = time_of(record)
        near = self.hour if near is None else near
        for text in found.tuples:
            try:
                time, denied = tuple_of(text)
                if not EARLIEST <= time <= LATEST or (near is not None and abs(time - near) > FARTHEST):
                    raise ValueError('time')
            except ValueError:
                self.malformed_tuples += 1
                continue
            self.tuples += 1
            self.denied += denied
            self.versions[key] += 1
            self.first = time if self.first is None else min(self.first, time)
            self.last = time if self.last is None else max(self.last, time)

    def value(self, value):
        """A whole JSON value where a record may stand: a record, or records in arrays and wrappers."""
        if isinstance(value, list):
            for element in value:
                self.value(element)
        elif isinstance(get(value, 'records'), (list, dict)):
            self.value(get(value, 'records'))
        elif isinstance(value, dict):
            self.record(value)
        else:
            self.has_other_values = True

    def result(self):
        # A file of another kind altogether counts once.
        is_other = not self.is_flow_log and self.foreign == 0
        bad = min(self.bad_records, 1) if is_other else self.bad_records
        return {
            'records': self.records, 'bad_records': bad, 'foreign': self.foreign, 'tuples': self.tuples, 'denied': self.denied,
            'malformed_tuples': self.malformed_tuples, **self.versions, 'first': self.first, 'last': self.last,
        }


def names_other_log(record):
    category = get(record, 'category')
    category = category.strip().lower() if isinstance(category, str) else ''
    is_other = category != '' and not category.endswith(('flowevent', 'flowevents'))
    return is_other or isinstance(get(record, 'metricName'), str)


class Lists:
    """The lists below flowRecords or properties. One object stands for a list of one, and one text for a list of tuples."""

    def __init__(self):
        self.lists = self.unread = 0
        self.is_due = False
        self.tuples = []

    def scopes(self, value):
        self.is_due = True
        if isinstance(value, list):
            self.lists += not value
            for element in value:
                if isinstance(element, dict):
                    self.scope(element)
                else:
                    self.unread += 1
        elif isinstance(value, dict):
            self.scope(value)
        else:
            self.unread += 1

    def scope(self, scope):
        if not any(has(scope, key) for key in ('flows', 'flowGroups', 'flowTuples')):
            self.unread += 1
        for key in ('flows', 'flowGroups'):
            if has(scope, key):
                self.scopes(get(scope, key))
        if has(scope, 'flowTuples'):
            tuples = get(scope, 'flowTuples')
            if isinstance(tuples, (list, str)):
                self.lists += 1
                self.tuples += [tuples] if isinstance(tuples, str) else tuples
            else:
                self.unread += 1


def count(blob, hour=None):
    """Of a blob's bytes, and the hour of its path. A text that is no JSON gives its whole records and no other number that means anything."""
    counted = Count(hour)
    is_utf16 = blob[:2] in (b'\xff\xfe', b'\xfe\xff')
    text = blob.decode('utf-16' if is_utf16 else 'utf-8-sig', errors='strict' if is_utf16 else 'surrogateescape')
    at, values = 0, []
    try:
        while text[at:].strip():
            at += len(text[at:]) - len(text[at:].lstrip())
            value, at = DECODER.raw_decode(text, at)
            values.append(value)
        is_whole = True
        for value in values:
            counted.value(value)
    except (ValueError, RecursionError):
        is_whole = False
        counted = whole_records(text, hour)
    result = counted.result()
    if not is_whole or counted.has_other_values:
        # How many problems damage makes is the reader's choice, not the documents'.
        result['bad_records'] = None
    return result


def whole_records(text, hour):
    """Of a spoiled text: every object that is a record, outermost first."""
    counted = Count(hour)
    at = text.find('{')
    while at >= 0:
        try:
            value, end = DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            at = text.find('{', at + 1)
            continue
        if has(value, 'flowRecords') or has(value, 'properties'):
            counted.record(value)
        elif isinstance(get(value, 'records'), (list, dict)):
            counted.value(value)
        at = text.find('{', end)
    return counted


def files(folder):
    for base, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.endswith(('.json', '.ndjson', '.json.gz')) and name not in ('counts.json', 'apim-truth.json'):
                if os.path.relpath(base, HERE) not in ('names', 'policy', 'tags'):
                    yield os.path.join(base, name)


def main():
    # One file nests 4,000 arrays.
    sys.setrecursionlimit(20_000)
    arguments = [argument for argument in sys.argv[1:] if argument != '--write']
    counts = {}
    for folder in arguments or [HERE]:
        for path in files(folder):
            with open(path, 'rb') as file:
                blob = file.read()
            if blob[:2] == b'\x1f\x8b':
                blob = gzip.decompress(blob)
            counts[os.path.relpath(path, folder)] = count(blob, hour_of(path))
    lines = ',\n'.join('%s: %s' % (json.dumps(path), json.dumps(counted)) for path, counted in counts.items())
    text = '{\n%s\n}\n' % lines
    if '--write' in sys.argv:
        with open(os.path.join(HERE, 'counts.json'), 'w', encoding='utf-8') as file:
            file.write(text)
    else:
        sys.stdout.write(text)


if __name__ == '__main__':
    main()
