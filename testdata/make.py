#!/usr/bin/env python3
"""Writes every archive below this folder; README.md says what each file is for.

Standard library only. No clock and no `random` module: a fixed seed and an own generator, so that every run, on every
version of Python, gives the same bytes. All addresses, ids and names are invented.
"""

import json
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent

SUBSCRIPTION = "5e1f0a6c-2b7d-4c39-9a84-d30b6e7715f2"
RESOURCE_GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-apim-example"
NETWORK = f"{RESOURCE_GROUP}/providers/Microsoft.Network"
VNET = f"{NETWORK}/virtualNetworks/vnet-apim-example"
ACL = f"{NETWORK}/networkSecurityGroups/nsg-apim-example"
ADMIN_ACL = "b7c40d19-63e8-4f52-8d0b-9e2a51c7f436"
PLATFORM_ACL = "00000000-0000-0000-0000-000000000000"
FLOW_LOG_NAME = "FL-APIM-EXAMPLE"
FLOW_LOG = (
    f"/SUBSCRIPTIONS/{SUBSCRIPTION}/RESOURCEGROUPS/NETWORKWATCHERRG/PROVIDERS/MICROSOFT.NETWORK"
    f"/NETWORKWATCHERS/NETWORKWATCHER_WESTEUROPE/FLOWLOGS/{FLOW_LOG_NAME}"
).upper()
FLOW_LOG_GUID = "90d2c7be-1f35-4a68-b1c6-4e7a08f95d23"
NSG = f"{NETWORK}/networkSecurityGroups/nsg-apim-test".upper()
NSG_GUID = "c3a86f04-7d51-4be9-a2f7-0b96d8e143ca"
LOAD_BALANCER = "168.63.129.16"

# Slices of the documentation ranges that the example tag file hands out. Storage holds Storage.WestEurope and
# AzureCloud holds them all, as in Microsoft's file; 192.0.2.224/27 is in AzureCloud alone.
TAGS = [
    # name, region, region id, platform service, prefixes
    ("ApiManagement", "", 0, "AzureApiManagement", ["192.0.2.144/29", "192.0.2.152/31", "2001:db8:90::/48"]),
    ("AzureActiveDirectory", "", 0, "AzureAD", ["192.0.2.112/28", "2001:db8:70::/48"]),
    ("AzureCloud", "", 0, "", ["192.0.2.0/24", "2001:db8::/40"]),
    ("AzureConnectors", "", 0, "AzureConnectors", ["192.0.2.128/28", "2001:db8:80::/48"]),
    ("AzureKeyVault", "", 0, "AzureKeyVault", ["192.0.2.48/29", "2001:db8:40::/48"]),
    ("AzureMonitor", "", 0, "AzureMonitor", ["192.0.2.64/28", "192.0.2.80/29", "2001:db8:50::/48"]),
    ("AzureTrafficManager", "", 0, "AzureTrafficManager", ["192.0.2.160/30", "192.0.2.170/32", "2001:db8:a0::/48"]),
    ("EventHub", "", 0, "AzureEventHub", ["192.0.2.96/28", "2001:db8:60::/48"]),
    ("Sql", "", 0, "AzureSQL", ["192.0.2.32/28", "2001:db8:30::/48"]),
    ("Storage", "", 0, "AzureStorage", ["192.0.2.0/28", "192.0.2.16/29", "2001:db8:10::/47"]),
    ("Storage.WestEurope", "westeurope", 18, "AzureStorage", ["192.0.2.16/29", "2001:db8:11::/48"]),
]


class Rng:
    """splitmix64: `below(n)` and `chance(percent)` are the same on every machine."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        return z ^ (z >> 31)

    def below(self, n):
        return self.next() % n

    def between(self, low, high):
        """Both ends included."""
        return low + self.below(high - low + 1)

    def chance(self, percent):
        return self.below(10_000) < percent * 100

    def pick(self, items):
        return items[self.below(len(items))]


def epoch_ms(year, month, day, hour=0, minute=0):
    return int(datetime(year, month, day, hour, minute, tzinfo=timezone.utc).timestamp()) * 1000


def utc(ms):
    return datetime.fromtimestamp(ms // 1000, tz=timezone.utc)


def rfc3339(ms):
    return f"{utc(ms):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def record_time(ms, rng):
    """Seven fraction digits, as the platform writes them."""
    return f"{utc(ms):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}{rng.below(10_000):04d}Z"


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def blob_text(records):
    """The three kinds of block that the platform writes: head, one per flush, tail."""
    return '{"records":[' + ",".join(compact(record) for record in records) + "]}"


def write(path, content):
    target = HERE / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return target.stat().st_size


def vnet_record(time, mac, flows):
    return {
        "time": time,
        "flowLogGUID": FLOW_LOG_GUID,
        "macAddress": mac,
        "category": "FlowLogFlowEvent",
        "flowLogResourceID": FLOW_LOG,
        "targetResourceID": VNET,
        "flowLogVersion": 4,
        "operationName": "FlowLogFlowEvent",
        "flowRecords": {"flows": flows},
    }


def acl_entry(acl, *groups):
    return {"aclID": acl, "flowGroups": [{"rule": rule, "flowTuples": tuples} for rule, tuples in groups]}


def nsg_record(time, mac, version, flows):
    return {
        "time": time,
        "systemId": NSG_GUID,
        "macAddress": mac,
        "category": "NetworkSecurityGroupFlowEvent",
        "resourceId": NSG,
        "operationName": "NetworkSecurityGroupFlowEvents",
        "properties": {"Version": version, "flows": flows},
    }


def rule_entry(rule, mac, tuples):
    return {"rule": rule, "flows": [{"mac": mac, "flowTuples": tuples}]}


# ---------------------------------------------------------------------------------------------------------------------
# 1. apim/: thirty hours of two interfaces of an API Management subnet, with planted faults and their truth


STEP_MS = 300_000  # one record every five minutes; each holds the flows of its last minute
SLOTS = 360  # 30 hours
HOUR_MS = 3_600_000
NAMED_PORTS = {25, 53, 80, 123, 443, 445, 587, 1433, 1443, 1688, 1886, 3443, 4290, 5671, 5672, 6379, 6380, 6381, 6382}
NAMED_PORTS |= {6383, 6390, 6391, 10000, 12000, 25028}
DENY_OUT, DENY_IN = "UserRule_deny-all-outbound", "DefaultRule_DenyAllInBound"
NAMED_RANGES = [(9350, 9354), (11000, 11999), (14000, 14999), (65200, 65535)]
SCANNED_OFTEN = [22, 23, 2222, 3306, 3389, 5060, 5432, 5900, 6666, 7001, 8080, 8443, 8728, 9200, 27017, 60023]


class Interface:
    def __init__(self, address, mac, phase_ms):
        self.address = address
        self.mac = mac
        self.phase_ms = phase_ms  # when in its minute this interface's records are flushed
        self.slots = {}  # slot -> {(acl, direction): {rule: [(time, order, text)]}}
        self.flush = {}  # slot -> record time, ms


class Fault:
    """What was planted, counted while it is written."""

    def __init__(self, requirement, direction, protocol, port, acl, rule, expected, story):
        """`expected` is (kind, verdict) when the example service tags are loaded and the subnet is given."""
        self.fields = {"requirement": requirement, "direction": direction, "protocol": protocol, "port": port}
        self.fields |= {"acl": acl, "rule": rule}
        self.expected = {"kind": expected[0], "verdict": expected[1]} if expected else {}
        self.story = story
        self.times = []
        self.by_interface = {}

    def count(self, time, interface):
        self.times.append(time)
        self.by_interface[interface.address] = self.by_interface.get(interface.address, 0) + 1

    def truth(self):
        return {
            **self.fields,
            "denied_tuples": len(self.times),
            "first_denied": rfc3339(min(self.times)),
            "last_denied": rfc3339(max(self.times)),
            "denied_by_interface": dict(sorted(self.by_interface.items())),
            **self.expected,
            "story": self.story,
        }


class Apim:
    def __init__(self):
        self.rng = Rng(0xF10C6A9)
        self.start = epoch_ms(2026, 5, 4)
        self.sql_from = self.start + 6 * HOUR_MS
        self.monitor_from = self.start + 9 * HOUR_MS
        self.admin_from = self.start + 8 * HOUR_MS
        self.admin_until = self.start + 14 * HOUR_MS
        self.interfaces = [
            Interface("10.20.1.4", "00005E005304", 23_400),
            Interface("10.20.1.5", "00005E005305", 41_700),
        ]
        self.streams = {}  # interface -> the long event-hub connection that is open
        self.order = 0
        self.tuples = 0
        self.denied = 0
        self.first = None
        self.last = None
        blocked = "blocked-dependency"
        self.sql = Fault(
            "APIM-OUT-SQL", "outbound", "TCP", 1433, ACL, DENY_OUT, (blocked, "blocked"),
            "allowed by UserRule_allow-sql-out until 2026-05-04T06:00Z, every attempt denied from then on",
        )
        self.management = Fault(
            "APIM-IN-MANAGEMENT", "inbound", "TCP", 3443, ACL, DENY_IN, (blocked, "blocked"),
            "denied from the first record to the last; nothing on 3443 is ever allowed",
        )
        self.monitor = Fault(
            "APIM-OUT-MONITOR", "outbound", "TCP", 443, ACL, DENY_OUT, (blocked, "partial"),
            "from 2026-05-04T09:00Z about half of the connections are denied, the rest stay allowed",
        )
        self.counters = Fault(
            "APIM-VNET-RATELIMIT", "internal", "UDP", 4290, ADMIN_ACL, "BlockLateralUdp", (blocked, "recovered"),
            "denied at the sender from 08:00Z to 14:00Z on 2026-05-04, allowed before and after",
        )
        self.clients = Fault(
            "APIM-IN-CLIENT", "inbound", "TCP", 443, ACL, "UserRule_block-list", ("source-restricted", "partial"),
            "203.0.113.192/26 is blocked on purpose while all other clients are allowed",
        )
        self.noise = Fault(
            None, "inbound", None, None, ACL, DENY_IN, None,
            "scanners on random ports that no edition names; counted, never a finding",
        )

    # -- writing one tuple

    def add(self, nic, slot, acl, rule, time, five, direction, state, counters=(0, 0, 0, 0), fault=None):
        source, destination, source_port, port, protocol = five
        head = (time, source, destination, source_port, port, protocol, direction, state, "NX")
        text = ",".join(map(str, (*head, *counters)))
        rules = nic.slots[slot].setdefault((acl, direction), {})
        rules.setdefault(rule, []).append((time, self.order, text))
        self.order += 1
        self.tuples += 1
        self.first = time if self.first is None else min(self.first, time)
        self.last = time if self.last is None else max(self.last, time)
        if state == "D":
            self.denied += 1
            fault.count(time, nic)

    def allow(self, nic, slot, rule, time, five, direction, size=1, rekey=False, ended_after=None):
        """A short flow: begin, then an end that tells the totals."""
        rng = self.rng
        sent, received = rng.between(4, 14) * size, rng.between(3, 12) * size
        totals = (sent, sent * rng.between(70, 420), received, received * rng.between(90, 900))
        length = ended_after or rng.between(150, 8_000)
        self.add(nic, slot, ACL, rule, time, five, direction, "B")
        if rekey:  # a fresh flow is sometimes logged begin, end, begin within the same millisecond
            self.add(nic, slot, ACL, rule, time, five, direction, "E", (2, 140, 1, 116))
            self.add(nic, slot, ACL, rule, time, five, direction, "B")
        self.add(nic, slot, ACL, rule, time + length, five, direction, "E", totals)

    def deny(self, nic, slot, acl, rule, time, five, direction, fault, attempts):
        """One tuple per dropped packet: a TCP client repeats its SYN after about 1, 3 and 7 seconds."""
        for delay in (0, 1_000, 3_000, 7_000)[:attempts]:
            wobble = self.rng.below(25) if delay else 0
            self.add(nic, slot, acl, rule, time + delay + wobble, five, direction, "D", fault=fault)

    # -- what happens in one slot

    def fresh(self, nic, slot):
        """A time inside the minute before the flush that leaves room for the end or the repeats of the flow."""
        return nic.flush[slot] - self.rng.between(12_000, 60_000)

    def ephemeral(self):
        return self.rng.between(49_152, 65_100)

    def outbound(self, nic, destination, port, protocol=6):
        return (nic.address, destination, self.ephemeral(), port, protocol)

    def inbound(self, nic, source, port, protocol=6):
        return (source, nic.address, self.ephemeral(), port, protocol)

    def scanned_port(self):
        while True:
            port = self.rng.pick(SCANNED_OFTEN) if self.rng.chance(30) else self.rng.between(1, 65_199)
            if port not in NAMED_PORTS and not any(low <= port <= high for low, high in NAMED_RANGES):
                return port

    def scanner(self):
        if self.rng.chance(70):
            return f"203.0.113.{self.rng.between(1, 190)}"
        return f"198.51.100.{self.rng.between(128, 254)}"

    def healthy(self, nic, slot):
        rng = self.rng
        probe_rule = "UserRule_allow-lb-probe-in"
        probe = self.inbound(nic, LOAD_BALANCER, 6390)
        self.allow(nic, slot, probe_rule, self.fresh(nic, slot), probe, "I", ended_after=rng.between(5, 60))
        if rng.chance(12):
            probe = self.inbound(nic, LOAD_BALANCER, 6391)
            self.allow(nic, slot, probe_rule, self.fresh(nic, slot), probe, "I", ended_after=rng.between(5, 60))
        for percent, low, high, rule in (
            (32, 1, 14, "UserRule_allow-storage-out"),  # Storage
            (14, 16, 22, "UserRule_allow-storage-out"),  # Storage.WestEurope
            (14, 49, 54, "UserRule_allow-keyvault-out"),
            (6, 113, 126, "UserRule_allow-entra-out"),
        ):
            if rng.chance(percent):
                peer = f"192.0.2.{rng.between(low, high)}"
                self.allow(nic, slot, rule, self.fresh(nic, slot), self.outbound(nic, peer, 443), "O", 2)
        if rng.chance(30):
            five = self.outbound(nic, "10.20.0.4", 53, 17)
            time, length = self.fresh(nic, slot), rng.between(2, 40)
            self.allow(nic, slot, "UserRule_allow-dns-out", time, five, "O", ended_after=length)
        if rng.chance(4):
            five = self.outbound(nic, LOAD_BALANCER, 123, 17)
            time, length = self.fresh(nic, slot), rng.between(2, 40)
            self.allow(nic, slot, "UserRule_allow-ntp-out", time, five, "O", ended_after=length)
        for _ in range(rng.below(3)):
            five = self.inbound(nic, f"198.51.100.{rng.between(1, 126)}", 443)
            self.allow(nic, slot, "UserRule_allow-https-in", self.fresh(nic, slot), five, "I", 3, rekey=rng.chance(4))
        if rng.chance(12):  # an application gateway in the neighbour subnet
            five = self.inbound(nic, f"10.20.2.{rng.between(4, 9)}", 443)
            self.allow(nic, slot, "UserRule_allow-https-in", self.fresh(nic, slot), five, "I", 3)
        if rng.chance(3):  # traffic that the platform itself makes: no rule decided it, nothing answers
            five = (f"192.0.2.{rng.between(225, 254)}", nic.address, 23_456, self.ephemeral(), 6)
            self.add(nic, slot, PLATFORM_ACL, "PlatformRule", self.fresh(nic, slot), five, "I", "E", (1, 128, 0, 0))

    def event_hub(self, nic, slot):
        """One long connection: begin, a delta every five minutes, end, and soon the next one."""
        rng = self.rng
        rule = "UserRule_allow-eventhub-out"
        stream = self.streams.get(nic)
        if stream is None:
            if rng.chance(25):
                five = self.outbound(nic, f"192.0.2.{rng.between(97, 110)}", 5671)
                self.streams[nic] = (five, slot + rng.between(12, 48), rng.between(20_000, 50_000))
                self.add(nic, slot, ACL, rule, nic.flush[slot] - self.streams[nic][2], five, "O", "B")
            return
        five, until, before_flush = stream
        sent, received = rng.between(20, 90), rng.between(18, 80)
        delta = (sent, sent * rng.between(90, 300), received, received * rng.between(60, 120))
        self.add(nic, slot, ACL, rule, nic.flush[slot] - before_flush, five, "O", "E" if slot >= until else "C", delta)
        if slot >= until:
            del self.streams[nic]

    def faults(self, nic, slot):
        rng = self.rng
        # Azure SQL: the allow rule disappears at hour six.
        time = self.fresh(nic, slot)
        if rng.chance(65):
            five = self.outbound(nic, f"192.0.2.{rng.between(33, 46)}", 1433)
            if time < self.sql_from:
                self.allow(nic, slot, "UserRule_allow-sql-out", time, five, "O", 2)
            else:
                self.deny(nic, slot, ACL, DENY_OUT, time, five, "O", self.sql, rng.between(1, 3))
        # Management endpoint: no rule lets the control plane in.
        if rng.chance(35):
            five = self.inbound(nic, f"192.0.2.{rng.between(144, 153)}", 3443)
            time = self.fresh(nic, slot)
            self.deny(nic, slot, ACL, DENY_IN, time, five, "I", self.management, rng.between(1, 4))
        # Azure Monitor: 192.0.2.80/29 is younger than the allow rule.
        if rng.chance(45):
            time = self.fresh(nic, slot)
            if time >= self.monitor_from and rng.chance(50):
                five = self.outbound(nic, f"192.0.2.{rng.between(80, 87)}", 443)
                self.deny(nic, slot, ACL, DENY_OUT, time, five, "O", self.monitor, rng.between(1, 3))
            else:
                five = self.outbound(nic, f"192.0.2.{rng.between(64, 79)}", 443)
                self.allow(nic, slot, "UserRule_allow-monitor-out", time, five, "O")
        # Scanners: mostly noise, and some on 443 from the range that is blocked on purpose.
        for _ in range(rng.below(4)):
            five = self.inbound(nic, self.scanner(), self.scanned_port(), 17 if rng.chance(15) else 6)
            attempts = 1 if five[4] == 17 or rng.chance(85) else 2
            time = self.fresh(nic, slot)
            self.deny(nic, slot, ACL, DENY_IN, time, five, "I", self.noise, attempts)
        if rng.chance(25):
            five = self.inbound(nic, f"203.0.113.{rng.between(192, 254)}", 443)
            time = self.fresh(nic, slot)
            self.deny(nic, slot, ACL, "UserRule_block-list", time, five, "I", self.clients, rng.between(1, 3))

    def between_interfaces(self, slot):
        """Allowed flows inside the subnet show at both interfaces; denied ones at the sender alone."""
        rng = self.rng
        for sender, receiver in (self.interfaces, self.interfaces[::-1]):
            for percent, port, protocol in ((16, 4290, 17), (5, rng.between(6381, 6383), 6)):
                if not rng.chance(percent):
                    continue
                time = self.start + slot * STEP_MS + rng.between(-18_000, 10_000)
                five = (sender.address, receiver.address, self.ephemeral(), port, protocol)
                if port == 4290 and self.admin_from <= time < self.admin_until:
                    attempts = rng.between(1, 2)
                    self.deny(sender, slot, ADMIN_ACL, "BlockLateralUdp", time, five, "O", self.counters, attempts)
                    continue
                length = rng.between(100, 5_000)
                later = rng.below(3)
                self.allow(sender, slot, "UserRule_allow-vnet-out", time, five, "O", ended_after=length)
                self.allow(receiver, slot, "DefaultRule_AllowVnetInBound", time + later, five, "I", ended_after=length)

    # -- writing the archive

    def blobs(self):
        """(path, text) of one blob per flush hour and interface."""
        acl_order = {(PLATFORM_ACL, "I"): 0, (ACL, "O"): 1, (ACL, "I"): 2, (ADMIN_ACL, "O"): 3}
        folder = (
            f"apim/insights-logs-flowlogflowevent/flowLogResourceID=/{SUBSCRIPTION.upper()}_NETWORKWATCHERRG"
            f"/NETWORKWATCHER_WESTEUROPE_{FLOW_LOG_NAME}"
        )
        for nic in self.interfaces:
            hours = {}
            for slot, entries in nic.slots.items():
                flows = []
                for (acl, _), rules in sorted(entries.items(), key=lambda entry: acl_order[entry[0]]):
                    groups = [(rule, [text for _, _, text in sorted(tuples)]) for rule, tuples in sorted(rules.items())]
                    flows.append(acl_entry(acl, *groups))
                flush = nic.flush[slot]
                hours.setdefault(flush // HOUR_MS, []).append(vnet_record(record_time(flush, self.rng), nic.mac, flows))
            for hour, records in hours.items():
                path = f"{folder}/{utc(hour * HOUR_MS):y=%Y/m=%m/d=%d/h=%H}/m=00/macAddress={nic.mac}/PT1H.json"
                yield path, len(records), blob_text(records)

    def write(self):
        for slot in range(1, SLOTS + 1):
            for nic in self.interfaces:
                nic.slots[slot] = {}
                nic.flush[slot] = self.start + slot * STEP_MS + nic.phase_ms + self.rng.below(300)
            for nic in self.interfaces:
                self.healthy(nic, slot)
                self.event_hub(nic, slot)
                self.faults(nic, slot)
            self.between_interfaces(slot)
        blobs = records = size = 0
        for path, count, text in self.blobs():
            blobs += 1
            records += count
            size += write(path, text)
        faults = [self.sql, self.management, self.monitor, self.counters, self.clients]
        truth = {
            "edition": "2026-04-30",
            "subnet": "10.20.1.0/24",
            "service_tags": "tags/ServiceTags_Example_20260504.json",
            "blobs": blobs,
            "bytes": size,
            "records": records,
            "tuples": self.tuples,
            "denied_tuples": self.denied,
            "first_flow": rfc3339(self.first),
            "last_flow": rfc3339(self.last),
            "faults": [fault.truth() for fault in faults],
            "noise": self.noise.truth(),
        }
        assert self.denied == sum(len(fault.times) for fault in [*faults, self.noise])
        write("apim-truth.json", json.dumps(truth, indent=2) + "\n")


# ---------------------------------------------------------------------------------------------------------------------
# 2. tags/


def write_tags():
    values = []
    for number, (name, region, region_id, service, prefixes) in enumerate(TAGS):
        properties = {
            "changeNumber": 11 + number,
            "region": region,
            "regionId": region_id,
            "platform": "Azure",
            "systemService": service,
            "addressPrefixes": prefixes,
            "networkFeatures": ["API", "NSG"] if name == "AzureCloud" else ["API", "NSG", "UDR", "FW"],
        }
        values.append({"name": name, "id": name, "properties": properties})
    document = {"changeNumber": 412, "cloud": "Public", "values": values}
    write("tags/ServiceTags_Example_20260504.json", json.dumps(document, indent=2))


# ---------------------------------------------------------------------------------------------------------------------
# 3. nsg-v2/: three hours of one interface in the older format


def write_nsg_archive():
    rng = Rng(0x2A5D17)
    mac, local = "00005E005311", "10.20.3.4"
    start = epoch_ms(2026, 3, 11, 8)
    burst_slot = 18  # 09:30: a scan makes more than fits one record

    def port():
        return rng.between(49_152, 65_500)

    def tuples_of(slot, flush, version):
        """{rule: [tuple]}; times are whole seconds inside the minute before the flush."""
        rules = {}

        def add(rule, second, five, direction, decision, state="B", counters=",,,"):
            text = f"{second},{','.join(map(str, five))},{direction},{decision}"
            tuples = rules.setdefault(rule, [])
            tuples.append((second, len(tuples), text if version == 1 else f"{text},{state},{counters}"))

        def flow(rule, source, destination, to_port, protocol, direction, ends=True):
            second = flush // 1000 - rng.between(12, 60)
            five = (source, destination, port(), to_port, protocol)
            add(rule, second, five, direction, "A")
            if ends and version == 2:  # answers are logged as zero, as in most files since 2024
                packets = rng.between(4, 30)
                totals = f"{packets},{packets * rng.between(70, 400)},0,0"
                add(rule, second + rng.between(1, 8), five, direction, "A", "E", totals)

        for _ in range(2):
            flow("DefaultRule_AllowInternetOutBound", local, f"192.0.2.{rng.between(1, 14)}", 443, "T", "O")
        flow("DefaultRule_AllowVnetOutBound", local, "10.20.0.4", 53, "U", "O")
        flow("DefaultRule_AllowAzureLoadBalancerInBound", LOAD_BALANCER, local, 6390, "T", "I")
        if rng.chance(60):  # rules of users are often logged without an end
            peer = f"192.0.2.{rng.between(144, 151)}"
            flow("UserRule_allow-apim-management", peer, local, 3443, "T", "I", ends=False)
        if version == 2:
            packets = rng.between(10, 60)
            five = (local, "192.0.2.98", 50_671, 5671, "T")
            delta = f"{packets},{packets * 180},0,0"
            add("DefaultRule_AllowInternetOutBound", flush // 1000 - 30, five, "O", "A", "C", delta)
        second = flush // 1000 - rng.between(12, 60)
        five = (local, f"192.0.2.{33 + slot % 12}", port(), 1433, "T")
        for delay in (0, 1, 3):
            add("UserRule_deny-sql-out", second + delay, five, "O", "D")
        for _ in range(700 if slot == burst_slot else rng.below(5)):
            peer = f"203.0.113.{rng.between(1, 254)}"
            five = (peer, local, port(), rng.between(20_000, 64_000), "U" if rng.chance(10) else "T")
            add("DefaultRule_DenyAllInBound", flush // 1000 - rng.between(5, 60), five, "I", "D")
        return {rule: [text for _, _, text in sorted(tuples)] for rule, tuples in rules.items()}

    def records_of(time, version, rules):
        """As the platform splits: a record closes at about 32 KB, the next repeats its time and its rule."""
        limit = 32_230
        flows, size = [], len(compact(nsg_record(time, mac, version, [])))
        for rule, tuples in rules.items():
            size += len(compact(rule_entry(rule, mac, []))) + 1
            flows.append(rule_entry(rule, mac, []))
            for text in tuples:
                if size + len(text) + 3 > limit:
                    yield nsg_record(time, mac, version, flows)
                    flows = [rule_entry(rule, mac, [])]
                    size = len(compact(nsg_record(time, mac, version, flows)))
                flows[-1]["flows"][0]["flowTuples"].append(text)
                size += len(text) + 3
        yield nsg_record(time, mac, version, flows)

    hours = {}
    for slot in range(36):
        flush = start + slot * STEP_MS + 43_100 + rng.below(300)
        version = 1 if slot < 6 else 2  # the log was switched to version 2 at half past eight
        time = record_time(flush, rng)
        hours.setdefault(flush // HOUR_MS, []).extend(records_of(time, version, tuples_of(slot, flush, version)))
    for hour, records in hours.items():
        path = f"resourceId={NSG}/{utc(hour * HOUR_MS):y=%Y/m=%m/d=%d/h=%H}/m=00/macAddress={mac}/PT1H.json"
        write(f"nsg-v2/insights-logs-networksecuritygroupflowevent/{path}", blob_text(records))


# ---------------------------------------------------------------------------------------------------------------------
# 4. nsg-v1/ and vnet-v4/: one odd shape a file


MAC_A, MAC_B = "00005E005321", "00005E005322"
NSG_TIME = "2026-03-11T08:05:43.1784407Z"
NSG_SECOND = epoch_ms(2026, 3, 11, 8, 5) // 1000
VNET_TIME = "2026-05-04T08:05:41.7305162Z"
VNET_MS = epoch_ms(2026, 5, 4, 8, 5)
ANY = "UserRule_any"
INTERNET_OUT = "DefaultRule_AllowInternetOutBound"
BEGIN, END, DENIED = "B,NX,0,0,0,0", "E,NX,7,1158,12,8143", "D,NX,0,0,0,0"


def v1(second, peer="192.0.2.7", port=443, decision="A"):
    return f"{NSG_SECOND + second},10.20.3.4,{peer},{50_000 + second},{port},T,O,{decision}"


def v4(offset, tail, source="10.20.1.4", destination="192.0.2.7", port=443, protocol=6, direction="O"):
    return f"{VNET_MS + offset},{source},{destination},{50_000 + offset},{port},{protocol},{direction},{tail}"


def nsg_of(version, *flows):
    return nsg_record(NSG_TIME, MAC_A, version, list(flows))


def vnet_of(*entries):
    return vnet_record(VNET_TIME, MAC_A, list(entries))


def nsg_small(second=0):
    """Two tuples: one allowed, one denied."""
    allowed, denied = v1(second), v1(second + 1, "192.0.2.35", 1433, "D")
    return nsg_of(1, rule_entry(INTERNET_OUT, MAC_A, [allowed]), rule_entry("UserRule_deny-sql-out", MAC_A, [denied]))


def vnet_small(offset=0):
    """Three tuples: begin, end, denied."""
    allowed = [v4(offset, BEGIN), v4(offset + 1, END)]
    denied = [v4(offset + 2, DENIED, destination="192.0.2.35", port=1433)]
    return vnet_of(acl_entry(ACL, ("UserRule_allow-storage-out", allowed), ("UserRule_deny-all-outbound", denied)))


def document(*records):
    return {"records": list(records)}


def alphabetical(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def write_nsg_shapes():
    def shape(name, text):
        write(f"nsg-v1/{name}.json", text)

    shape("plain", blob_text([nsg_small()]))
    shape("alphabetical-keys", alphabetical(document(nsg_small())))
    shape("nested-records", compact(document(nsg_small(), document(nsg_small(10), nsg_small(20)))))
    pretty = json.dumps(document(nsg_small(), nsg_small(10)), indent="\t") + "\n"
    shape("pretty-printed-tabs-crlf", pretty.replace("\n", "\r\n"))

    nothing_in, nothing_out = ({"rule": rule, "flows": []} for rule in ("DefaultRule_DenyAllInBound", "UserRule_deny"))
    full = rule_entry(INTERNET_OUT, MAC_A, [v1(0)])
    shape("empty-inner-flows", blob_text([nsg_of(1, nothing_in, full, nothing_out), nsg_of(1)]))

    inner = [
        {"mac": MAC_A, "flowTuples": [v1(0)]},
        {"mac": MAC_B, "flowTuples": []},
        {"mac": MAC_B, "flowTuples": [v1(1), v1(2)]},
    ]
    shape("several-macs", blob_text([nsg_of(1, {"rule": INTERNET_OUT, "flows": inner})]))

    # As in Microsoft's documentation: no macAddress, resourceid in small letters; time as re-saved files have it.
    record = {("resourceid" if key == "resourceId" else key): value for key, value in nsg_small().items()}
    del record["macAddress"]
    record["time"] = "2026-03-11T08:05:43.178+00:00"
    shape("doc-sample-keys", compact(document(record)))

    # What tools cut and pad: version 1 with its 8 columns, version 2 with 8, 9, 12, 13 and 14.
    tails = ["", ",B", ",B,,,", ",B,,,,", ",E,7,1158,12,8143", ",B,,,,,", ",E,7,1158,12,8143,"]
    one = nsg_of(1, rule_entry(INTERNET_OUT, MAC_A, [v1(0)]))
    many = nsg_of(2, rule_entry(INTERNET_OUT, MAC_A, [v1(n) + tail for n, tail in enumerate(tails)]))
    shape("column-counts-8-9-12-13-14", blob_text([one, many]))


def write_vnet_shapes():
    def shape(name, text):
        write(f"vnet-v4/{name}.json", text)

    def shape_of(name, *entries):
        shape(name, blob_text([vnet_of(*entries)]))

    shape("plain", blob_text([vnet_small()]))
    shape("bare-record", compact(vnet_small()))
    shape("newline-delimited", "".join(compact(vnet_small(n)) + "\n" for n in (0, 10, 20)))
    shape("top-level-array", compact([vnet_small(), vnet_small(10)]))
    shape("nested-records", compact(document(document(vnet_small()), vnet_small(10))))
    shape("byte-order-mark", b"\xef\xbb\xbf" + blob_text([vnet_small()]).encode())
    shape("pretty-printed", json.dumps(document(vnet_small(), vnet_small(10)), indent=4) + "\n")
    shape("mixed-with-nsg", compact(document(vnet_small(), nsg_small(), vnet_small(10))))

    # Sorted keys put flowTuples before rule and flowRecords before time; reversed ones put all that describes
    # the tuples behind them, the version included.
    def turned(value):
        if isinstance(value, dict):
            return {key: turned(inner) for key, inner in reversed(value.items())}
        return [turned(inner) for inner in value] if isinstance(value, list) else value

    shape("alphabetical-keys", alphabetical(document(vnet_small(), vnet_small(10))))
    shape("reversed-keys", compact(document(turned(vnet_small()), turned(vnet_small(10)))))

    half_empty = acl_entry(ACL, ("UserRule_allow-storage-out", []), ("UserRule_deny-all-outbound", [v4(0, DENIED)]))
    shape("empty-groups", blob_text([vnet_of(), vnet_of(acl_entry(ACL)), vnet_of(half_empty)]))

    ipv6 = [
        v4(0, BEGIN, "2001:db8:ff::4", "2001:db8:11::7"),
        v4(1, DENIED, "2001:0db8:00ff:0000:0000:0000:0000:0004", "2001:0DB8:0030:0000:0000:0000:0000:0021", 1433),
        v4(2, DENIED, "2001:DB8:FF:0:0:0:0:4", "2001:db8:0:0:1::9"),
        v4(3, BEGIN, "::ffff:10.20.1.4", "::ffff:192.0.2.7"),
        v4(4, BEGIN, "::ffff:0a14:0104", "0:0:0:0:0:FFFF:c000:0207"),
        v4(5, BEGIN, "fe80::1234:5678:9abc", "2001:db8:ff::4", 6390, 6, "I"),
        v4(6, BEGIN, "::1", "::", 53, 17),
    ]
    shape_of("ipv6", acl_entry(ACL, (ANY, ipv6)))

    in_seconds = v4(0, "C,NX,7,1158,12,8143").replace(str(VNET_MS), str(VNET_MS // 1000))
    in_milliseconds = v4(1_250, "C,NX,7,1158,12,8143")
    shape_of("seconds-and-milliseconds", acl_entry(ACL, (ANY, [in_seconds, in_milliseconds])))

    passed = ["X", "NX", "NX_HW_NOT_SUPPORTED", "NX_LOCAL_DST", "NX_FALLBACK", "NX_NOT_YET_INVENTED"]
    dropped = ["NX_SW_NOT_READY", "NX_NOT_ACCEPTED", "NX_NOT_SUPPORTED"]
    passed = [v4(n, f"E,{code},7,1158,12,8143") for n, code in enumerate(passed)]
    dropped = [v4(20 + n, f"D,{code},0,0,0,0") for n, code in enumerate(dropped)]
    shape_of("encryption-codes", acl_entry(ACL, (ANY, passed)), acl_entry("unspecified", ("unspecified", dropped)))

    probe = v4(0, "E,NX,1,128,0,0", "192.0.2.230", "10.20.1.4", 29_544, 6, "I")
    lateral = v4(2, DENIED, destination="10.20.1.5", port=4290, protocol=17)
    desktop = v4(3, DENIED, "203.0.113.9", "10.20.1.4", 3389, 6, "I")
    shape_of(
        "platform-unspecified-admin",
        acl_entry(PLATFORM_ACL, ("PlatformRule", [probe])),
        acl_entry("unspecified", ("unspecified", [v4(1, "D,NX_NOT_ACCEPTED,0,0,0,0")])),
        acl_entry(ADMIN_ACL, ("BlockLateralUdp", [lateral]), (f"BlockHighRiskPorts_{ADMIN_ACL}", [desktop])),
        acl_entry(ACL, ("DefaultRule_DenyAllInBound", [v4(4, DENIED, "203.0.113.9", "10.20.1.4", 22, 6, "I")])),
        acl_entry(ACL, ("UserRule_allow-storage-out", [v4(5, BEGIN)])),
    )

    def tails(name, *columns):
        shape_of(name, acl_entry(ACL, (ANY, [v4(n, tail) for n, tail in enumerate(columns)])))

    tails("missing-counters", "B,NX,,,,", "D,NX,,,,", "E,NX,7,1158,,", "E,NX,,,12,8143", "C,NX,0,0,0,0")
    tails("column-counts-9-12-13-14", "B,NX", "D,NX", "B,NX,,,", "E,NX,7,1158,12", END, "B,NX,,,,,", END + ",")
    tails("column-count-8", "B", "D", BEGIN)

    # json.dumps would not write these escapes, so they are put in afterwards. The first tuple is plain once unescaped.
    first = v4(0, BEGIN).replace(",", r"\u002c", 2).replace("192.0.2.7", r"192\u002e0\u002e2\u002E7")
    odd, plain = ("ODD", ["FIRST", v4(1, DENIED)]), ("UserRule_plain", [v4(2, BEGIN)])
    text = blob_text([vnet_of(acl_entry(ACL, odd, plain))]).replace("FIRST", first)
    shape("escaped-characters", text.replace("ODD", r"UserRule_\"quoted\"\\ \/ caf\u00e9 \ud83d\ude80 \t[x],{y}"))
    text = blob_text([vnet_small()])
    for key in ("time", "rule", "flowTuples"):
        text = text.replace(f'"{key}"', f'"\\u{ord(key[0]):04x}{key[1:]}"')
    shape("escaped-keys", text)

    # Keys nobody knows, on every level, with whole records and tuples inside some of them that must not count.
    decoy = vnet_small(90)
    deep = [[{"rule": "x", "flowTuples": ["y"]}], 1.5e3, True]
    extra = {"records": [decoy], "flowRecords": decoy["flowRecords"], "deep": deep}
    record = {"location": "westeurope", "zone": None, "extra": extra, **vnet_small(), "vnetResourceID": VNET}
    entry = record["flowRecords"]["flows"][0]
    entry["tags"] = {"rule": "decoy", "flowTuples": [v4(95, BEGIN)]}
    entry["flowGroups"][0] = {"meta": {"rule": ["decoy"]}, **entry["flowGroups"][0], "hits": 2}
    around = {"summary": {"flows": [], "count": -3}, **record["flowRecords"], "after": {"aclID": "decoy"}}
    record["flowRecords"] = around
    shape("unknown-keys", compact({"schema": {"records": "not these"}, "records": [record], "next": None}))


# ---------------------------------------------------------------------------------------------------------------------
# 5. shapes/: records as other tools write them, records that are no flow records, and other logs


def pascal(value):
    """The same value with its keys in Pascal case."""
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: pascal(inner) for key, inner in value.items()}
    return [pascal(inner) for inner in value] if isinstance(value, list) else value


def lists_of_one(value):
    """The same value with lists of one as what is in them, as Windows PowerShell has it."""
    if isinstance(value, dict):
        return {key: lists_of_one(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return lists_of_one(value[0]) if len(value) == 1 else [lists_of_one(inner) for inner in value]
    return value


def with_body(record, **body):
    key = "flowRecords" if "flowRecords" in record else "properties"
    return {**record, key: body}


def other_logs():
    resource = f"/SUBSCRIPTIONS/{SUBSCRIPTION.upper()}/RESOURCEGROUPS/RG-APIM-EXAMPLE/PROVIDERS/X/Y/Z"
    times = {"time": VNET_TIME, "resourceId": resource}
    values = {"count": 4, "total": 9, "minimum": 1, "maximum": 3, "average": 2.25}
    metric = {**values, **times, "metricName": "Transactions", "timeGrain": "PT1M"}
    audit = {**times, "category": "AuditEvent", "operationName": "VaultGet", "properties": {"id": "x"}}
    gateway = {**times, "category": "GatewayLogs", "level": 4, "properties": {"method": "GET", "version": "1.1"}}
    return [metric, audit, gateway]


def write_shapes():
    def shape(name, text):
        write(f"shapes/{name}.json", text)

    one = vnet_of(acl_entry(ACL, (ANY, [v4(0, DENIED, destination="192.0.2.35", port=1433)])))
    nsg = nsg_of(1, rule_entry(ANY, MAC_A, [v1(0, "192.0.2.35", 1433, "D")]))
    shape("lists-of-one", compact(lists_of_one(document(one))) + "\r\n" + compact(lists_of_one(document(nsg))))
    shape("pascal-case-keys", compact(pascal(document(vnet_small(), nsg_small()))))
    shape("upper-case-keys", compact(document(vnet_small())).replace('"flow', '"FLOW').replace('"records"', '"RECORDS"'))
    pretty = json.dumps(document(vnet_small(), nsg_small(), lists_of_one(one)), indent=4).replace("\n", "\r\n") + "\r\n"
    named = pretty.replace("UserRule_deny-all", "UserRule_verb\u00f6te-\u2026\U0001f512")
    shape("utf-16-little-endian", b"\xff\xfe" + named.encode("utf-16-le"))
    shape("utf-16-big-endian", b"\xfe\xff" + named.encode("utf-16-be"))
    shape("lists-for-objects", compact(document({**one, "flowRecords": [one["flowRecords"]] * 2}, with_body(nsg, **nsg["properties"]))))

    # Each of these is bad, between two that are good.
    nsg_empty, vnet_empty = nsg_of(2), vnet_of()
    bad = [
        {key: value for key, value in nsg.items() if key != "properties"},
        with_body(nsg, Version=2),
        with_body(nsg, Version=2, flows=None),
        with_body(nsg, Version=2, flows="System.Object[]"),
        with_body(nsg, Version=2, flows=[{"rule": ANY}]),
        {**nsg, "properties": None},
        {**nsg, "properties": "x"},
        {**one, "flowRecords": 7},
        with_body(one),
        with_body(one, flows={}),
        with_body(one, flows=[None, 7]),
        with_body(one, flows=[acl_entry(ACL, (ANY, [])) | {"flowGroups": "x"}]),
        with_body(one, flows=[{"aclID": ACL, "flowGroups": [{"rule": ANY, "flowTuples": {}}]}]),
        with_body(one, flows=[{"aclID": ACL, "flowGroups": [{"rule": ANY, "flowTuples": None}]}]),
        with_body(one, flows=[{"aclID": ACL, "flowGroups": [{"rule": ANY, "flowTuples": 7}]}]),
        with_body(one, flowTuples=True),
    ]
    shape("no-list-of-tuples", compact(document(nsg_empty, *bad, vnet_empty)))
    groups = [{"rule": ANY, "flowTuples": [v4(0, BEGIN)]}, {"rule": ANY}, 7, {"rule": ANY, "flowTuples": {"a": 1}}]
    shape("unread-parts", compact(document(with_body(one, flows=[{"aclID": ACL, "flowGroups": groups}, None]))))

    logs = other_logs()
    shape("other-logs", "".join(compact(log) + "\n" for log in logs * 2))
    shape("other-logs-beside", compact(document(logs[0], vnet_small(), *logs, nsg_small())))


# ---------------------------------------------------------------------------------------------------------------------
# 6. broken/


HEAD = '{"records":['


def with_field(fields, index, *values):
    """The tuple once for each value of one field."""
    return [",".join([*fields[:index], value, *fields[index + 1 :]]) for value in values]


def malformed_v4(good):
    fields = good.split(",")
    bad = ["", ",", "hello", ",".join(fields[:5]), ",".join(fields[:7])]
    bad += with_field(fields, 0, "", "abc", "-1", "1.5", "99999999999999999999")
    bad += with_field(fields, 1, "", "10.20.1", "10.20.1.256", "10.20.1.4.5", "host", "2001:db8::1::2")
    bad += with_field(fields, 2, "", "192.0.2.-7", "2001:db8:12345::", "192.0.2.7/32")
    bad += with_field(fields, 3, "", "65536", "-1", "http") + with_field(fields, 4, "", "65536", "-1", "http")
    bad += with_field(fields, 5, "", "TCP", "256", "-6")
    bad += with_field(fields, 6, "", "X", "IO") + with_field(fields, 7, "", "A", "BE")
    return bad + with_field(v4(0, END).split(","), 9, "abc", "-1", "99999999999999999999")


def malformed_v2(good):
    fields = good.split(",")
    bad = ["", ",".join(fields[:7])] + with_field(fields, 5, "", "X", "TU") + with_field(fields, 6, "", "B")
    bad += with_field(fields, 7, "", "B", "AD") + with_field(fields, 8, "Q", "BE")
    for counter in range(9, 13):
        bad += with_field([*fields[:8], "E", "7", "1158", "12", "8143"], counter, "x")
    return bad


def malformed_v1(good):
    fields = good.split(",")
    bad = ["", ",".join(fields[:7])] + with_field(fields, 0, "now") + with_field(fields, 4, "70000")
    return bad + with_field(fields, 7, "?")


def write_broken():
    def broken(name, content):
        write(f"broken/{name}.json", content)

    whole = blob_text([vnet_small(), vnet_small(10), vnet_small(20)])
    second, third = whole.index(compact(vnet_small(10))), whole.index(compact(vnet_small(20)))
    broken("cut-in-head", HEAD[:5])
    broken("head-only", HEAD)
    broken("cut-in-record", whole[: whole.index('"flowRecords"', third) + 5])
    broken("cut-in-tuple", whole[: whole.index('"flowTuples"', third) + 40])
    broken("cut-between-records", whole[: third - 1])
    broken("cut-after-comma", whole[:third])
    broken("no-records", HEAD + "]}")
    broken("zero-bytes", b"")
    broken("comma-first", HEAD + "," + whole[len(HEAD) :])
    broken("trailing-garbage", whole + "," + compact(vnet_small(30)) + "]}")
    broken("garbage-between-records", whole[:second] + "\x07\x00 <<not json>>," + whole[second:])
    broken("garbage-with-brackets-and-quote", whole[:second] + '#]} {[ "unclosed ,' + whole[second:])
    broken("other-values-between-records", whole[:second] + 'null,17,"text",[],{},true,' + whole[second:])
    broken("invalid-utf8", whole.encode().replace(b"UserRule_deny-all", b"UserRule_\xff\xfe-all", 1))
    deep = '{"extra":' + "[" * 4_000 + "]" * 4_000 + "," + compact(vnet_small())[1:]
    broken("deep-nesting", HEAD + deep + "," + compact(vnet_small(10)) + "]}")
    broken("utf-16-without-mark", whole.encode("utf-16-le"))
    broken("other-lines", "time,level,text\n1,warning,{x}\n" + compact({"name": "a", "version": "1.0.0"}) + "\n")
    broken("not-json", "<!DOCTYPE html>\n<html><head><title>403</title></head><body>Not authorized.</body></html>\n")
    broken("other-json", compact({"version": 3, "items": [{"name": "a", "rule": "b"}], "flowTuples": ["1,2,3"]}))

    # The Windows Server sibling: version as text, portId and portName for the MAC, a time of its own.
    tuples = [f"{NSG_SECOND},10.20.3.4,10.20.3.255,138,138,U,I,A"]
    inner = {"flowTuples": tuples, "portId": "9", "portName": NSG_GUID}
    record = nsg_of("1.0", {"flows": [inner], "rule": "Allow_Inbound"})
    del record["macAddress"]
    record |= {"time": "20260311:L080543178", "resourceId": NSG_GUID}
    broken("sdn-record", json.dumps(document(record), indent=4))

    # Good tuples stand first, last and between, so that a reader that gives up or loses its place is found out.
    good = v4(0, BEGIN)
    mixed = [good]
    for n, text in enumerate(malformed_v4(good)):
        mixed += [text, v4(100 + n, DENIED)] if n % 8 == 7 else [text]
    mixed.append(v4(200, END))
    old = f"{v1(0)},B,,,,"
    nsg2 = [old, *malformed_v2(old), f"{v1(1, decision='D')},B,,,,"]
    nsg1 = [v1(0), *malformed_v1(v1(0)), v1(1, decision="D")]
    records = [
        vnet_of(acl_entry(ACL, (ANY, mixed))),
        nsg_of(2, rule_entry(ANY, MAC_A, nsg2)),
        nsg_of(1, rule_entry(ANY, MAC_A, nsg1)),
    ]
    broken("malformed-tuples", json.dumps(document(*records), indent=1) + "\n")
    other = [good, 17, None, True, {"a": 1}, [good], v4(1, DENIED)]
    broken("tuples-not-text", blob_text([vnet_of(acl_entry(ACL, (ANY, other)))]))


if __name__ == "__main__":
    Apim().write()
    write_tags()
    write_nsg_archive()
    write_nsg_shapes()
    write_vnet_shapes()
    write_shapes()
    write_broken()
