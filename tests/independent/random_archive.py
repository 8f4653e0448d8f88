#!/usr/bin/env python3
"""Writes a small invented archive as Azure lays it out, with a service-tag file, all decided by a seed.

    python3 tests/independent/random_archive.py SEED DIR

DIR gets the container folder, `ServiceTags_*.json` and `archive.json` (subnets, span, what the archive is like).
Addresses are of documentation and private ranges; ids and MACs are invented.
"""
import json
import os
import random
import sys
from datetime import datetime, timezone

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
START = 1_777_852_800_000  # 2026-05-04T00:00Z
SUBSCRIPTION = '5e1f0a6c-2b7d-4c39-9a84-d30b6e7715f2'
ACL = '/subscriptions/%s/resourceGroups/rg-example/providers/Microsoft.Network/networkSecurityGroups/nsg-%%s' % SUBSCRIPTION
PLATFORM_ACL = '00000000-0000-0000-0000-000000000000'
HOST = '168.63.129.16'

TAGS = {
    'Storage': '192.0.2.0/27', 'Sql': '192.0.2.32/28', 'AzureKeyVault': '192.0.2.48/28', 'AzureMonitor': '192.0.2.64/27',
    'EventHub': '192.0.2.96/28', 'AzureActiveDirectory': '192.0.2.112/28', 'ApiManagement': '192.0.2.144/28',
    'AzureTrafficManager': '192.0.2.160/28', 'AzureConnectors': '192.0.2.176/28', 'AzureCloud': '192.0.2.0/24',
}
# Name: direction, protocol, port, peers, flows per machine and hour relative to others.
SERVICES = {
    'storage': ('O', 'TCP', 443, ['192.0.2.1', '192.0.2.2', '192.0.2.17'], 4),
    'sql': ('O', 'TCP', 1433, ['192.0.2.33', '192.0.2.34'], 2),
    'keyvault': ('O', 'TCP', 443, ['192.0.2.49'], 1),
    'monitor': ('O', 'TCP', 443, ['192.0.2.65', '192.0.2.66', '192.0.2.67'], 2),
    'monitor-1886': ('O', 'TCP', 1886, ['192.0.2.68'], 1),
    'eventhub': ('O', 'TCP', 5671, ['192.0.2.97'], 1),
    'entra': ('O', 'TCP', 443, ['192.0.2.113'], 1),
    'certificates': ('O', 'TCP', 80, ['198.51.100.80', '198.51.100.81'], 1),
    'outside-tags': ('O', 'TCP', 443, ['198.51.100.90', '198.51.100.91'], 1),
    'sql-outside-tags': ('O', 'TCP', 1433, ['198.51.100.33'], 1),
    'dns': ('O', 'UDP', 53, ['10.40.0.4', '10.40.0.5'], 3),
    'dns-tcp': ('O', 'TCP', 53, ['10.40.0.4'], 0.5),
    'ntp': ('O', 'UDP', 123, ['198.51.100.123'], 0.5),
    'private-endpoint': ('O', 'TCP', 443, ['10.30.6.5'], 2),
    'private-endpoint-sql': ('O', 'TCP', 1433, ['10.30.6.6'], 1),
    'backend': ('O', 'TCP', 8443, ['10.50.0.7', '10.50.0.8', '198.51.100.7'], 2),
    'smtp': ('O', 'TCP', 25, ['198.51.100.25'], 0.5),
    'management': ('I', 'TCP', 3443, ['192.0.2.145', '192.0.2.146'], 2),
    'management-unlisted': ('I', 'TCP', 3443, ['198.51.100.145', '198.51.100.146'], 2),
    'probe': ('I', 'TCP', 6390, [HOST], 4),
    'probe-machine': ('I', 'TCP', 6391, [HOST], 1),
    'traffic-manager': ('I', 'TCP', 443, ['192.0.2.161'], 1),
    'clients': ('I', 'TCP', 443, ['203.0.113.%d' % n for n in range(20, 32)], 5),
    'clients-quic': ('I', 'UDP', 443, ['203.0.113.%d' % n for n in range(20, 32)], 2),
    'clients-vnet': ('I', 'TCP', 443, ['10.40.2.%d' % n for n in range(4, 9)], 2),
    'vnet-6390': ('I', 'TCP', 6390, ['10.40.2.99'], 0.5),
    'vnet-ssh': ('I', 'TCP', 22, ['10.40.2.50'], 0.5),
    'cache': ('machines', 'TCP', 6381, [], 1),
    'rate-limit': ('machines', 'UDP', 4290, [], 1),
    'lateral': ('machines', 'TCP', 445, [], 0.3),
}
REGULARS = ['203.0.113.7', '203.0.113.8', '192.0.2.200', '198.51.100.200', '198.51.100.145', '192.0.2.145', '198.51.100.70']
HEALTHY = ('storage', 'sql', 'keyvault', 'monitor', 'dns', 'ntp', 'management', 'probe', 'clients')
COURSES = ('allowed',) * 5 + ('blocked', 'blocked-from', 'blocked-until', 'blocked-between', 'partial', 'fades', 'unanswered',
                              'short', 'twice')


class Machine:
    def __init__(self, number, address, acl, is_other=False):
        self.mac, self.address, self.acl, self.is_other = '00005E0053%02X' % number, address, acl, is_other
        self.blobs = {}


class Archive:
    def __init__(self, seed):
        self.dice = random.Random(seed)
        dice = self.dice
        self.version = dice.choice([4] * 8 + [2] * 2 + [1])
        self.start = START + dice.randrange(24) * HOUR
        self.span = dice.choice([2, 5, 12, 26, 30, 49, 60] * 3 + [100, 200]) * HOUR + dice.randrange(60) * MINUTE
        self.end = self.start + self.span
        self.target = dice.choice([300, 800, 1500, 3000] * 4 + [10_000])
        self.machines, self.subnets = [], ['10.30.1.0/24']
        acl, second = ACL % 'apim', ACL % 'other-apim'
        for number in range(dice.randint(1, 3)):
            self.machines.append(Machine(number + 1, '10.30.1.%d' % (4 + number), acl))
        layout = dice.choice(['one', 'one', 'two-subnets', 'two-acls', 'six'])
        if layout == 'two-subnets':
            self.subnets.append('10.30.2.0/24')
            self.machines.append(Machine(9, '10.30.2.4', dice.choice([acl, second])))
        elif layout == 'two-acls':
            self.machines.append(Machine(10, '10.30.1.132', second))
        elif layout == 'six':
            self.subnets.append('fd00:30:1::/64')
            self.machines.append(Machine(1, 'fd00:30:1::4', acl))
        self.other = Machine(20, '10.30.9.5', ACL % 'vm', is_other=True) if dice.random() < 0.5 else None
        self.layout = layout
        self.tuples = 0

    # Tuples.

    def add(self, machine, acl, rule, time, source, destination, port, protocol, direction, word, sent=0, received=0, sport=None):
        """`word`: B, C, E or D. What lies outside of the span is not logged."""
        if not self.start <= time < self.end:
            return
        sport = sport or 49_152 + self.dice.randrange(16_000)
        if self.version == 4:
            number = {'TCP': '6', 'UDP': '17'}[protocol]
            counters = [sent, sent * 90, received, received * 120] if word in 'CE' else [0, 0, 0, 0]
            columns = [time, source, destination, sport, port, number, direction, word, 'NX', *counters]
        else:
            columns = [time // 1000, source, destination, sport, port, protocol[0], direction, 'D' if word == 'D' else 'A']
            if self.version == 2:
                counters = [sent, sent * 90, received, received * 120] if word in 'CE' else ['', '', '', '']
                columns += ['B' if word == 'D' else word, *counters]
        flush = time // (5 * MINUTE) * 5 * MINUTE + 5 * MINUTE + self.dice.randrange(20) * SECOND
        records = machine.blobs.setdefault(flush // HOUR * HOUR, {})
        key = flush // (5 * MINUTE)
        records.setdefault(key, {}).setdefault((acl, rule), []).append((time, ','.join(map(str, columns))))
        self.tuples += 1

    def connect(self, machine, time, peer, port, protocol, direction, rule, answered=True):
        """An allowed connection: a begin, mostly an end, at times a continue."""
        ends = (machine.address, peer) if direction == 'O' else (peer, machine.address)
        sport, dice = 49_152 + self.dice.randrange(16_000), self.dice
        where = (machine, machine.acl, rule)
        flow = (*ends, port, protocol, direction)
        if self.has_begins:
            self.add(*where, time, *flow, 'B', sport=sport)
        if self.has_ends and dice.random() < 0.8:
            sent, received = dice.randint(2, 9), dice.randint(2, 12) if answered else 0
            if dice.random() < 0.1:
                self.add(*where, time + 5 * MINUTE, *flow, 'C', sent, received, sport=sport)
            self.add(*where, time + dice.randint(1, 400) * SECOND, *flow, 'E', sent, received, sport=sport)

    def refuse(self, machine, time, peer, port, protocol, direction, rule, acl=None):
        ends = (machine.address, peer) if direction == 'O' else (peer, machine.address)
        sport = 49_152 + self.dice.randrange(16_000)
        for delay in (0, 1, 4)[:self.dice.randint(1, 3)]:
            self.add(machine, acl or machine.acl, rule, time + delay * SECOND, *ends, port, protocol, direction, 'D', sport=sport)

    # What happens.

    def play(self):
        dice = self.dice
        self.has_begins, self.has_ends = dice.random() > 0.08, dice.random() > 0.08
        self.has_allowed = dice.random() > 0.06
        chosen = {name for name in SERVICES if name in HEALTHY and dice.random() < 0.85 or dice.random() < 0.35}
        if dice.random() < 0.1:
            chosen = set(dice.sample(sorted(SERVICES), 3))
        if dice.random() < 0.12:
            # Internal mode: callers of the network, none of the Internet.
            chosen = chosen - {'clients', 'traffic-manager'} | {'clients-vnet'}
        weight = sum(SERVICES[name][4] for name in chosen) * len(self.machines)
        per_hour = self.target / 2.2 / max(self.span / HOUR, 1) / max(weight, 1)
        for name in sorted(chosen):
            course = dice.choice(COURSES) if dice.random() < 0.6 else 'allowed'
            when = sorted(self.start + dice.randrange(self.span) for _ in range(2))
            rule = dice.choice(['UserRule_deny-all', 'UserRule_deny-all', 'DefaultRule_DenyAll', 'BlockByAdmin', 'unspecified'])
            for machine in self.machines:
                self.play_service(machine, SERVICES[name], per_hour, course, when, rule)
        self.play_extras()

    def play_service(self, machine, service, per_hour, course, when, rule):
        dice, (direction, protocol, port, peers, share) = self.dice, service
        is_lateral = direction == 'machines'
        if is_lateral:
            direction = 'O'
            peers = [other.address for other in self.machines if other is not machine and (':' in other.address) == (':' in machine.address)]
        if ':' in machine.address and not is_lateral:
            peers = ['2001:db8:%x::%x' % (len(peers), port)]
        for _ in range(round(share * per_hour * self.span / HOUR) if peers else 0):
            time, peer = self.start + dice.randrange(self.span), dice.choice(peers)
            if course == 'short':
                time = when[0] + dice.randrange(20 * MINUTE)
            if course == 'fades' and time >= when[1]:
                continue
            is_refused = {
                'blocked': True, 'short': True, 'blocked-from': time >= when[0], 'blocked-until': time < when[0],
                'blocked-between': when[0] <= time < when[1], 'twice': not when[0] <= time < when[1],
                'partial': dice.random() < 0.4,
            }.get(course, False)
            if is_refused:
                acl = 'unspecified' if rule == 'unspecified' else None
                self.refuse(machine, time, peer, port, protocol, direction, rule, acl)
            elif self.has_allowed:
                self.connect(machine, time, peer, port, protocol, direction, 'UserRule_allow-%d' % port,
                             answered=course != 'unanswered' or dice.random() < 0.1)
                if is_lateral:
                    far = next(other for other in self.machines if other.address == peer)
                    self.connect(far, time + 40, machine.address, port, protocol, 'I', 'DefaultRule_AllowVnetInBound')

    def play_extras(self):
        dice, machine = self.dice, self.machines[0]
        if ':' in machine.address:
            return
        some = dice.randrange(len(self.machines))

        def moment():
            return self.start + dice.randrange(self.span)
        if dice.random() < 0.5:
            for _ in range(dice.choice([5, 40, 120])):
                self.refuse(machine, moment(), '203.0.113.%d' % dice.randrange(40, 250), 3443, 'TCP', 'I', 'DefaultRule_DenyAllInBound')
        self.play_regulars(machine, moment)
        if dice.random() < 0.6:
            for _ in range(dice.choice([5, 30])):
                port = dice.choice([22, 80, 1433, 3389, 6390, 8080, 10000, 5671])
                self.refuse(machine, moment(), '203.0.113.%d' % dice.randrange(1, 250), port, 'TCP', 'I', 'DefaultRule_DenyAllInBound')
        if dice.random() < 0.15:
            for port in range(9000, 9000 + dice.randint(8, 16)):
                peer = '10.50.0.%d' % dice.randint(1, 9)
                if self.has_allowed and dice.random() < 0.2:
                    self.connect(machine, moment(), peer, port, 'TCP', 'O', 'UserRule_allow-backends')
                for _ in range(dice.randint(3, 8)):
                    self.refuse(machine, moment(), dice.choice([peer, '10.50.0.9']), port, 'TCP', 'O', 'UserRule_deny-all')
        if self.version == 4 and dice.random() < 0.5:
            for _ in range(12):
                self.add(machine, PLATFORM_ACL, 'PlatformRule', moment(), '198.51.100.230', machine.address, 40_123, 'TCP', 'I', 'E', 1, 0, 23_456)
            for _ in range(3):
                self.add(machine, PLATFORM_ACL, 'PlatformRule', moment(), machine.address, '192.0.2.1', 443, 'TCP', 'O', 'E', 1, 0, 50_456)
        if self.other and ':' not in self.machines[some].address:
            self.play_far(self.machines[some].address, moment)

    def play_regulars(self, machine, moment):
        """Addresses that are refused hour after hour, some of which were let in once."""
        dice = self.dice
        for regular in dice.sample(REGULARS, dice.choice([0, 0, 0, 1, 1, 2, 3])):
            port, tuples = dice.choice([3443, 3443, 443]), dice.choice([10, 40, 90])
            first, last = sorted((moment(), moment()))
            is_steady, length = dice.random() < 0.5, max(last - first, HOUR)
            for nr in range(tuples):
                time = first + length * nr // tuples if is_steady else moment()
                self.refuse(machine, time, regular, port, 'TCP', 'I', 'DefaultRule_DenyAllInBound')
            for _ in range(dice.choice([0, 0, 1, 12]) if self.has_allowed else 0):
                self.connect(machine, moment(), regular, dice.choice([port, 3443, 443]), 'TCP', 'I', 'UserRule_allow-3443')

    def play_far(self, address, moment):
        """The log of another machine: what its NSG refuses of API Management's flows is seen from afar."""
        for _ in range(self.dice.choice([6, 30])):
            self.connect(self.other, moment(), '10.40.0.4', 53, 'UDP', 'O', 'DefaultRule_AllowVnetOutBound')
            kind = self.dice.choice(['to-443', 'from-10000', 'from-9100', 'ok'])
            if kind == 'to-443':
                self.refuse(self.other, moment(), address, 443, 'TCP', 'O', 'UserRule_vm-deny-out')
            elif kind == 'ok':
                self.connect(self.other, moment(), address, 443, 'TCP', 'O', 'DefaultRule_AllowVnetOutBound')
            else:
                port = 10_000 if kind == 'from-10000' else 9100
                self.refuse(self.other, moment(), address, port, 'TCP', 'I', 'UserRule_vm-deny-in')

    # Files.

    def write(self, folder):
        self.play()
        dice = self.dice
        interfaces = self.machines + ([self.other] if self.other else [])
        merged = {}
        for machine in interfaces:
            for hour, records in machine.blobs.items():
                for key, groups in records.items():
                    merged.setdefault((machine.mac, hour), []).append((key, groups))
        has_oddities = dice.random() < 0.35
        for (mac, hour), records in sorted(merged.items()):
            texts = [self.record(mac, key, groups, has_oddities) for key, groups in sorted(records, key=lambda record: record[0])]
            self.write_blob(folder, mac, hour, '{"records":[%s]}' % ','.join(texts))
        self.write_tags(folder)
        about = {'subnets': self.subnets, 'start': text_of(self.start), 'end': text_of(self.end), 'version': self.version,
                 'layout': self.layout, 'tuples': self.tuples, 'tags': self.tag_name, 'tag_kind': self.tag_kind}
        with open(os.path.join(folder, 'archive.json'), 'w', encoding='utf-8') as file:
            json.dump(about, file, indent=1)

    def record(self, mac, key, groups, has_oddities):
        dice = self.dice
        time = text_of((key + 1) * 5 * MINUTE - 1)
        rules = [(acl, rule, [text for _, text in sorted(tuples)]) for (acl, rule), tuples in sorted(groups.items())]
        if has_oddities and dice.random() < 0.1:
            kind = dice.choice(['year-2200', 'old', 'far', 'all-far', 'garbage'])
            first = rules[0][2]
            columns = first[0].split(',')
            odd = {'year-2200': '7258118400000', 'old': '1262304000', 'garbage': 'x'}.get(
                kind, str((START - dice.choice([89, 91, 200]) * DAY) // 1000))
            if kind == 'all-far':
                rules = [(acl, rule, [','.join([odd, *text.split(',')[1:]]) for text in texts]) for acl, rule, texts in rules]
            else:
                first.append(','.join([odd, *columns[1:]]))
        if self.version == 4:
            flows = [{'aclID': acl, 'flowGroups': [{'rule': rule, 'flowTuples': texts}]} for acl, rule, texts in rules]
            record = {'time': time, 'flowLogGUID': SUBSCRIPTION, 'macAddress': mac, 'category': 'FlowLogFlowEvent',
                      'flowLogResourceID': ('/subscriptions/%s/resourceGroups/networkwatcherrg/providers/Microsoft.Network/networkWatchers/'
                                            'networkWatcher_westeurope/flowLogs/fl-example' % SUBSCRIPTION).upper(),
                      'targetResourceID': '/subscriptions/%s/virtualNetworks/vnet-example' % SUBSCRIPTION,
                      'flowLogVersion': 4, 'operationName': 'FlowLogFlowEvent', 'flowRecords': {'flows': flows}}
            if has_oddities and dice.random() < 0.2:
                record = dict(sorted(record.items()))
            return json.dumps(record, separators=(',', ':'))
        # One NSG log holds the flows of one NSG; the first ACL stands for all of a record.
        flows = [{'rule': rule, 'flows': [{'mac': mac, 'flowTuples': texts}]} for _, rule, texts in rules]
        record = {'time': time, 'systemId': SUBSCRIPTION, 'macAddress': mac, 'category': 'NetworkSecurityGroupFlowEvent',
                  'resourceId': rules[0][0].upper(), 'operationName': 'NetworkSecurityGroupFlowEvents',
                  'properties': {'Version': self.version, 'flows': flows}}
        return json.dumps(record, separators=(',', ':'))

    def write_blob(self, folder, mac, hour, text):
        moment = datetime.fromtimestamp(hour // 1000, timezone.utc)
        if self.version == 4:
            prefix = 'insights-logs-flowlogflowevent/flowLogResourceID=/%s_NETWORKWATCHERRG/NETWORKWATCHER_WESTEUROPE_FL-EXAMPLE' % SUBSCRIPTION.upper()
        else:
            prefix = ('insights-logs-networksecuritygroupflowevent/resourceId=/SUBSCRIPTIONS/%s/RESOURCEGROUPS/RG-EXAMPLE/PROVIDERS/'
                      'MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/NSG-APIM' % SUBSCRIPTION.upper())
        name = os.path.join(folder, prefix, moment.strftime('y=%Y/m=%m/d=%d/h=%H/m=00'), 'macAddress=' + mac)
        os.makedirs(name, exist_ok=True)
        with open(os.path.join(name, 'PT1H.json'), 'w', encoding='utf-8') as file:
            file.write(text)

    def write_tags(self, folder):
        dice = self.dice
        self.tag_kind = dice.choice(['fresh'] * 7 + ['stale', 'undated', 'numbered', 'missing', 'regional', 'other-cloud', 'az', 'powershell'])
        tags = dict(TAGS)
        if self.tag_kind == 'missing':
            for name in dice.sample(sorted(tags), 3):
                del tags[name]
        entries = [entry(name, '', prefix) for name, prefix in tags.items()]
        entries.append(entry('Storage.WestEurope', 'westeurope', '192.0.2.0/28'))
        entries.append(entry('AzureMonitor.Core', '', '198.51.100.64/28'))
        if self.tag_kind == 'regional':
            entries = [each for each in entries if each['name'] != 'Storage']
        cloud = 'AzureGovernment' if self.tag_kind == 'other-cloud' else 'Public'
        days = {'stale': '_20260101', 'undated': '', 'numbered': '', 'az': '', 'powershell': ''}
        self.tag_name = 'ServiceTags_%s%s.json' % (cloud, days.get(self.tag_kind, '_20260420'))
        root = {'changeNumber': 376 if self.tag_kind == 'numbered' else 900, 'cloud': cloud, 'values': entries}
        encoding = 'utf-8'
        if self.tag_kind == 'az':
            root = {**root, 'changeNumber': '900', 'id': '/subscriptions/x/providers/Microsoft.Network/serviceTags/Public',
                    'name': 'Public', 'type': 'Microsoft.Network/serviceTags'}
        elif self.tag_kind == 'powershell':
            root, encoding = pascal({**root, 'changeNumber': '900', 'name': 'Public'}), 'utf-16'
        with open(os.path.join(folder, self.tag_name), 'w', encoding=encoding) as file:
            json.dump(root, file, indent=1)


def pascal(value):
    """With its keys as PowerShell prints them."""
    if isinstance(value, dict):
        return {key[0].upper() + key[1:]: pascal(inner) for key, inner in value.items()}
    return [pascal(inner) for inner in value] if isinstance(value, list) else value


def entry(name, region, prefix):
    numbers = {'192.0.2.0/24': '2001:db8::/48'}
    prefixes = [prefix] + ([numbers[prefix]] if prefix in numbers else [])
    properties = {'changeNumber': 1, 'region': region, 'regionId': 0, 'platform': 'Azure', 'systemService': name,
                  'addressPrefixes': prefixes, 'networkFeatures': ['API', 'NSG']}
    return {'name': name, 'id': name, 'properties': properties}


def text_of(time):
    return datetime.fromtimestamp(time // 1000, timezone.utc).strftime('%Y-%m-%dT%H:%M:%S') + '.%03dZ' % (time % 1000)


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    os.makedirs(sys.argv[2], exist_ok=True)
    Archive(int(sys.argv[1])).write(sys.argv[2])


if __name__ == '__main__':
    main()
