"""Flow tuples of blobs, decoded literally: contract section 4 and formats.md, with 2.1.6 (times that cannot be).

`read(sources, window)` gives a `Logs`: every good tuple inside the window, and the counts of what was not good.
"""
import gzip
import ipaddress
import json
import os
import re
from datetime import datetime, timedelta, timezone

DECODER = json.JSONDecoder()
HOUR = 3_600_000
DAY = 24 * HOUR
EARLIEST = 1_420_070_400_000  # 2015-01-01
LATEST = 4_102_444_800_000  # 2100-01-01
FARTHEST = 90 * DAY
FLOW_CATEGORIES = ('flowlogflowevent', 'networksecuritygroupflowevent')


class Flow:
    """One good tuple. Times are ms since 1970, addresses are `ipaddress` objects, absent values are None."""
    __slots__ = ('time', 'src', 'dst', 'sport', 'dport', 'protocol', 'logged', 'denied', 'state', 'sent', 'received',
                 'rule', 'acl', 'mac', 'version', 'blob')

    @property
    def local(self):
        """The address of the interface that logged the flow."""
        return self.src if self.logged == 'O' else self.dst

    @property
    def is_platform(self):
        return self.rule == 'PlatformRule'


class Logs:
    """Everything that was read: flows in the window, and counts."""

    def __init__(self):
        self.flows = []
        self.malformed = self.bad_records = self.foreign = self.unreadable = 0
        self.clouds = set()
        self.blobs = []


class Blob:
    """A file, with what its path says: hour (ms) and MAC, None where the path has none."""

    def __init__(self, path):
        self.path = path
        found = re.search(r'/y=(\d{4})/m=(\d\d)/d=(\d\d)/h=(\d\d)/m=\d\d/(?:macAddress=([^/]*)/)?', path)
        self.hour = self.mac = None
        if found:
            try:
                self.hour = ms(datetime(*map(int, found.groups()[:4]), tzinfo=timezone.utc))
            except ValueError:
                pass
            self.mac = (found.group(5) or '').upper() or None


def ms(moment):
    return (moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(milliseconds=1)


def moment_of(text):
    """ms of an RFC 3339 text, a day or a minute, UTC where it has no zone; None where it is none."""
    found = re.fullmatch(r'(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?(\.\d+)?(Z|[+-]\d\d:\d\d)?)?', str(text).strip())
    if not found:
        return None
    day, minute, second, fraction, zone = found.groups()
    try:
        moment = datetime.fromisoformat('%sT%s%s%s' % (day, minute or '00:00', second or ':00', (zone or 'Z').replace('Z', '+00:00')))
    except ValueError:
        return None
    return ms(moment) + int(((fraction or '.')[1:] + '000')[:3])


def text_of(time):
    """A time as JSON has it, RFC 3339 in UTC with milliseconds."""
    if time is None:
        return None
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=time)
    return moment.strftime('%Y-%m-%dT%H:%M:%S.') + '%03dZ' % (time % 1000)


# Blobs of a source, and the window (section 4: the blobs of its hours plus the following hour).

def blobs_of(sources):
    for source in sources:
        if os.path.isfile(source):
            yield Blob(source)
        for base, folders, names in os.walk(source):
            folders[:] = sorted(name for name in folders if name != '__MACOSX')
            for name in sorted(names):
                if name.endswith(('.json', '.json.gz')) and not name.startswith('._'):
                    yield Blob(os.path.join(base, name))


def is_selected(blob, window):
    start, end = window
    if blob.hour is None:
        return True
    if start is not None and blob.hour < start // HOUR * HOUR:
        return False
    return end is None or blob.hour <= (end - 1) // HOUR * HOUR + HOUR


def read(sources, window=(None, None)):
    logs = Logs()
    for blob in blobs_of(sources):
        if is_selected(blob, window):
            logs.blobs.append(blob)
            read_blob(blob, logs)
    start, end = window
    logs.flows = [flow for flow in logs.flows
                  if (start is None or flow.time >= start) and (end is None or flow.time < end)]
    return logs


def read_blob(blob, logs):
    with open(blob.path, 'rb') as file:
        content = file.read()
    if content[:2] == b'\x1f\x8b':
        content = gzip.decompress(content)
    encoding = 'utf-16' if content[:2] in (b'\xff\xfe', b'\xfe\xff') else 'utf-8-sig'
    text = content.decode(encoding, errors='surrogateescape')
    at = 0
    while text[at:at + 1].isspace():
        at += 1
    values = []
    try:
        while at < len(text):
            value, at = DECODER.raw_decode(text, at)
            values.append(value)
            while text[at:at + 1].isspace():
                at += 1
    except (ValueError, RecursionError):
        # Damage somewhere: every whole record counts, the damage is one thing that could not be read.
        logs.bad_records += 1
        values = whole_records(text)
    for value in values:
        read_value(value, blob, logs)


def whole_records(text):
    at, found = text.find('{'), []
    while at >= 0:
        try:
            value, end = DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            at = text.find('{', at + 1)
            continue
        if {'flowrecords', 'properties', 'records'} & {key.lower() for key in value}:
            found.append(value)
        at = text.find('{', end)
    return found


def as_list(value):
    """An object or a text stands for a list of one."""
    if isinstance(value, list):
        return value
    return [value] if isinstance(value, (dict, str)) else None


def keys_of(value):
    """An object with its keys in lower case, in their order; {} for anything else."""
    return {key.lower(): inner for key, inner in value.items()} if isinstance(value, dict) else {}


def read_value(value, blob, logs):
    keys = keys_of(value)
    if isinstance(value, list):
        for element in value:
            read_value(element, blob, logs)
    elif as_list(keys.get('records')) is not None:
        read_value(as_list(keys['records']), blob, logs)
    elif isinstance(value, dict):
        read_record(keys, blob, logs)
    else:
        logs.bad_records += 1


def read_record(keys, blob, logs):
    is_vnet = 'flowrecords' in keys
    category = str(keys.get('category', '')).lower()
    if not is_vnet and (category and category not in FLOW_CATEGORIES or 'metricname' in keys):
        logs.foreign += 1
        return
    body = keys_of(keys.get('flowrecords' if is_vnet else 'properties'))
    version = keys.get('flowlogversion', 4) if is_vnet else body.get('version', 2)
    if type(version) is not int or version not in ((4,) if is_vnet else (1, 2)):
        logs.bad_records += 1
        return
    runs = list(runs_of(keys, body, is_vnet))
    if runs and all(tuples is None for _, _, _, tuples in runs) or as_list(body.get('flows')) is None:
        logs.bad_records += 1
        return
    for text in (blob.path, str(keys.get('flowlogresourceid', ''))):
        region = re.search(r'NETWORKWATCHER_([A-Z0-9]+)', text.upper())
        if region:
            logs.clouds.add(cloud_of(region.group(1)))
    about = time_before_tuples(keys, is_vnet)
    about = blob.hour if about is None else about
    record_mac = str(keys.get('macaddress') or '').upper() or blob.mac
    for acl, rule, mac, tuples in runs:
        for text in tuples or ():
            flow = flow_of(text, about)
            if flow is None:
                logs.malformed += 1
                continue
            flow.acl, flow.rule, flow.mac = acl, rule, mac or record_mac
            flow.version, flow.blob = version, blob
            logs.flows.append(flow)


def cloud_of(region):
    if region.startswith(('USGOV', 'USDOD')):
        return 'AzureGovernment'
    return 'China' if region.startswith('CHINA') else 'Public'


def runs_of(keys, body, is_vnet):
    """(acl, rule, mac, list of tuples) of a record."""
    for outer in map(keys_of, as_list(body.get('flows')) or ()):
        inner_key, acl = ('flowgroups', outer.get('aclid')) if is_vnet else ('flows', keys.get('resourceid'))
        for inner in map(keys_of, as_list(outer.get(inner_key)) or ()):
            rule = inner.get('rule') if is_vnet else outer.get('rule')
            mac = None if is_vnet else str(inner.get('mac') or '').upper() or None
            yield str(acl or ''), str(rule or ''), mac, as_list(inner.get('flowtuples'))


def time_before_tuples(keys, is_vnet):
    """The record's `time` where it precedes the tuples (2.1.6)."""
    names = list(keys)
    if 'time' not in keys or names.index('time') > names.index('flowrecords' if is_vnet else 'properties'):
        return None
    return moment_of(keys['time'])


def number(text, longest, largest):
    if not re.fullmatch('[0-9]{1,%d}' % longest, text) or int(text) > largest:
        raise ValueError(text)
    return int(text)


ADDRESSES = {}


def address(text):
    """An address; an IPv4-mapped one is its IPv4 address (2.1.3)."""
    if text not in ADDRESSES:
        if '%' in text:
            raise ValueError(text)
        found = ipaddress.ip_address(text)
        ADDRESSES[text] = getattr(found, 'ipv4_mapped', None) or found
    return ADDRESSES[text]


def flow_of(text, about):
    """A `Flow` without what its record says, or None where the tuple is malformed."""
    try:
        columns = text.split(',')
        if len(columns) < 8:
            return None
        flow = Flow()
        flow.time = number(columns[0], 19, 2**63 - 1)
        if flow.time < 10**11:
            flow.time *= 1000
        if not EARLIEST <= flow.time <= LATEST or about is not None and abs(flow.time - about) > FARTHEST:
            return None
        flow.src, flow.dst = address(columns[1]), address(columns[2])
        flow.sport, flow.dport = number(columns[3], 5, 65535), number(columns[4], 5, 65535)
        flow.logged = columns[6]
        if flow.logged not in ('I', 'O'):
            return None
        if columns[5] in ('T', 'U'):
            flow.protocol = {'T': 'TCP', 'U': 'UDP'}[columns[5]]
            state = (columns + [''])[8]
            if columns[7] not in ('A', 'D') or state not in ('', 'B', 'C', 'E'):
                return None
        else:
            protocol = number(columns[5], 3, 255)
            flow.protocol = {6: 'TCP', 17: 'UDP'}.get(protocol, str(protocol))
            state = columns[7]
            if state not in ('B', 'C', 'E', 'D'):
                return None
        counters = [number(counter, 19, 2**63 - 1) if counter else None for counter in columns[9:13]]
    except (ValueError, AttributeError):
        return None
    flow.denied = columns[7] == 'D'
    flow.state = state if not flow.denied and state else None
    has_counters = flow.state in ('C', 'E')
    flow.sent = counters[0] if has_counters and counters else None
    flow.received = counters[2] if has_counters and len(counters) > 2 else None
    return flow
