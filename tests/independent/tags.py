"""Service-tag files and the tag test on a peer: contract 2.1.3."""
import ipaddress
import json
import re

from flows import DAY, moment_of

PRIVATE = [ipaddress.ip_network(text) for text in (
    '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16',
    'fc00::/7', 'fe80::/10', '::1/128')]
DEFAULT_VNET = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7']
HOST_ADDRESS = ipaddress.ip_address('168.63.129.16')
LOAD_BALANCER = (HOST_ADDRESS, ipaddress.ip_address('fe80::1234:5678:9abc'))
STALE = 60 * DAY
# (cloud, root changeNumber): date of that file.
KNOWN_NUMBERS = {('Public', 376): '2025-11-17', ('AzureGovernment', 402): '2026-07-20', ('China', 405): '2026-07-20'}
# Dotted names that are no `Name.Region` (required-ports.md, service-tag JSON).
NO_REGION = {'frontend', 'backend', 'firstparty', 'microsoftsecurity', 'serviceendpoint', 'core'}

YES, NO, UNKNOWN = 'yes', 'no', 'unknown'


def holds(networks, address):
    return any(network.version == address.version and address in network for network in networks)


def is_private(address):
    return holds(PRIVATE, address)


class TagFile:
    def __init__(self, path, date=None):
        with open(path, 'rb') as file:
            content = file.read()
        utf16 = content[:2] in (b'\xff\xfe', b'\xfe\xff')
        root = lower(json.loads(content.decode('utf-16' if utf16 else 'utf-8-sig')))
        self.cloud = root.get('cloud')
        number = root.get('changenumber')
        self.number = int(number) if str(number or '').isdigit() else None
        self.prefixes = {}
        self.exact = set()
        for entry in map(lower, root['values']):
            name = entry['name'].lower()
            region = lower(entry.get('properties') or {}).get('region')
            networks = [ipaddress.ip_network(text, strict=False) for text in lower(entry['properties'])['addressprefixes']]
            self.exact.add(name)
            self.prefixes.setdefault(name, []).extend(networks)
            base, dot, suffix = name.partition('.')
            if dot and (region or region is None and suffix not in NO_REGION):
                self.prefixes.setdefault(base, []).extend(networks)
        self.time = self.date_of(path, date)

    def date_of(self, path, option):
        """ms of the file's date, None where it is unknown: the name, else the option, else the changeNumber."""
        in_name = re.search(r'(\d{4})(\d\d)(\d\d)(?=[^/]*$)', path.rsplit('/', 1)[-1])
        if in_name and moment_of('-'.join(in_name.groups())) is not None:
            return moment_of('-'.join(in_name.groups()))
        if option:
            return moment_of(option)
        known = [(number, day) for (cloud, number), day in KNOWN_NUMBERS.items() if cloud == self.cloud]
        if known and self.number is not None and self.number <= known[0][0]:
            # A smaller number is older: at most this date, which is all that staleness asks.
            return moment_of(known[0][1])
        return None

    def lists(self, address, name):
        return holds(self.prefixes.get(name.lower(), ()), address)

    def lists_anywhere(self, address):
        if not hasattr(self, 'everything'):
            self.everything = {}
        if address not in self.everything:
            self.everything[address] = any(holds(networks, address) for networks in self.prefixes.values())
        return self.everything[address]


def lower(value):
    return {key.lower(): inner for key, inner in value.items()}


class TagTest:
    """The tag test, for one scope S, one VNet, one file and the last flow of the logs."""

    def __init__(self, in_scope, vnet, file, last_flow, clouds):
        """`in_scope(address)` says whether an address is in S. `file` is a `TagFile` or None."""
        self.in_scope, self.vnet = in_scope, [ipaddress.ip_network(text, strict=False) for text in vnet]
        self.is_other_cloud = bool(file and file.cloud and clouds and file.cloud not in clouds)
        self.file = None if self.is_other_cloud else file
        self.is_doubtful = self.file is not None and (
            self.file.time is None or last_flow is not None and last_flow - self.file.time > STALE)
        self.memory = {}

    def is_vnet(self, address):
        return address == HOST_ADDRESS or self.in_scope(address) or holds(self.vnet, address)

    def is_internet(self, address):
        return not self.is_vnet(address) and not is_private(address)

    def answer(self, tag, address, port):
        key = (tag, address, port in (80, 443))
        if key not in self.memory:
            self.memory[key] = self.decide(tag, address, port)
        return self.memory[key]

    def decide(self, tag, address, port):
        general = {
            '*': lambda: True,
            'VirtualNetwork': lambda: self.is_vnet(address),
            'subnet': lambda: self.in_scope(address),
            'Internet': lambda: self.is_internet(address),
            'AzureLoadBalancer': lambda: address in LOAD_BALANCER,
        }.get(tag)
        if general:
            return YES if general() else NO
        if self.file and self.file.lists(address, tag):
            return YES
        if not self.is_internet(address):
            return NO
        lacks_name = self.file is None or tag.lower() not in self.file.exact
        if lacks_name or self.is_doubtful or port not in (80, 443):
            return UNKNOWN
        return NO


def is_named(tag):
    return tag not in ('*', 'VirtualNetwork', 'subnet', 'Internet', 'AzureLoadBalancer')
