"""Scope and VNet mode, given or inferred: contract 2.4."""
import ipaddress

from tags import HOST_ADDRESS, is_named

IDENTIFYING = ('APIM-IN-MANAGEMENT', 'APIM-IN-PROBE', 'APIM-IN-PROBE-MACHINE')
NO_ACL = ('', '00000000-0000-0000-0000-000000000000', 'unspecified')


class Scope:
    """S. `subnet_of` gives the CIDR that a local address counts for, None outside of S."""

    def __init__(self, networks=(), by_address=None, is_inferred=False, is_unknown=False):
        self.networks = sorted(networks, key=lambda network: -network.prefixlen)
        self.by_address = by_address or {}
        self.is_inferred, self.is_unknown = is_inferred, is_unknown
        self.subnets = sorted({str(network) for network in networks} | set(self.by_address.values()))
        self.memory = {}

    def subnet_of(self, address):
        if address in self.by_address:
            return self.by_address[address]
        if address not in self.memory:
            self.memory[address] = next((str(network) for network in self.networks
                                         if network.version == address.version and address in network), None)
        return self.memory[address]

    def holds(self, address):
        return self.subnet_of(address) is not None


def given(texts):
    return Scope([ipaddress.ip_network(text, strict=False) for text in texts])


def inferred(logs, rows, tag_file):
    """S from the logs alone."""
    searched = [flow for flow in logs.flows if flow.blob.mac is None]
    shown = {flow.local for flow in searched if shows(flow, rows, tag_file)}
    for blobs in blobs_by_interface(logs):
        ends = blobs if len(blobs) <= 4 else blobs[:2] + blobs[-2:]
        for blob in ends:
            flows = [flow for flow in logs.flows if flow.blob is blob]
            searched += flows
            found = {flow.local for flow in flows if shows(flow, rows, tag_file)}
            shown |= found
            if found:
                break
    if shown:
        return Scope(by_address=grouped(shown, logs.flows), is_inferred=True)
    everything = {flow.local for flow in logs.flows}
    return Scope(by_address=grouped(everything, logs.flows), is_inferred=True, is_unknown=True)


def blobs_by_interface(logs):
    interfaces = {}
    for blob in logs.blobs:
        if blob.mac is not None:
            interfaces.setdefault(blob.mac, []).append(blob)
    for mac in sorted(interfaces):
        yield sorted(interfaces[mac], key=lambda blob: (blob.hour, blob.path))


def shows(flow, rows, tag_file):
    """Whether a flow shows its local address to be an API Management machine."""
    if flow.logged != 'I':
        return False
    named = [row for row in rows if row.id in IDENTIFYING and row.names_port(flow.dport) and flow.protocol in row.protocols]
    if not named:
        return False
    in_tag = tag_file and any(is_named(row.tag) and tag_file.lists(flow.src, row.tag) for row in named)
    answered = not flow.denied and (flow.received or 0) > 0
    return flow.src == HOST_ADDRESS or in_tag or answered


def grouped(addresses, flows):
    """{address: CIDR}: the /24 or /64 around it, or, where ACLs split that, the smallest prefix of its part."""
    acls = {address: set() for address in addresses}
    for flow in flows:
        if flow.local in acls and flow.acl.lower() not in NO_ACL and not flow.is_platform:
            acls[flow.local].add(flow.acl.lower())
    around = {}
    for address in sorted(addresses, key=lambda address: (address.version, address)):
        length = 24 if address.version == 4 else 64
        around.setdefault(ipaddress.ip_network((address, length), strict=False), []).append(address)
    labels = {}
    for network, members in around.items():
        parts = parts_by_acl(members, acls)
        for part in parts:
            label = str(network if len(parts) == 1 else smallest_prefix(part))
            labels.update({address: label for address in part})
    return labels


def parts_by_acl(members, acls):
    """Addresses that share an ACL, directly or through others, are one part. Those without any join the first part."""
    parts = []
    for address in members:
        touching = [part for part in parts if part[1] & acls[address]]
        joined = ([address], set(acls[address]))
        for part in touching:
            joined = (part[0] + joined[0], part[1] | joined[1])
            parts.remove(part)
        if acls[address]:
            parts.append(joined)
    bare = [address for address in members if not acls[address]]
    if not parts:
        return [bare]
    parts.sort(key=lambda part: min(part[0]))
    return [part[0] + (bare if part is parts[0] else []) for part in parts]


def smallest_prefix(addresses):
    network = ipaddress.ip_network(addresses[0])
    while not all(address in network for address in addresses):
        network = network.supernet()
    return network


def mode_of(given_mode, classified):
    """(mode, origin) of `classified`, the flows in scope with their candidates."""
    if given_mode:
        return given_mode, 'given'
    clients, answered, internet_let_in, vnet_answered = set(), 0, False, False
    for flow in classified:
        if flow.is_denied or 'APIM-IN-CLIENT' not in flow.candidate_ids and 'APIM-IN-CLIENT-VNET' not in flow.candidate_ids:
            continue
        is_answered = (flow.sent or 0) >= 2 and (flow.received or 0) >= 2
        if 'APIM-IN-CLIENT' in flow.candidate_ids:
            internet_let_in = True
            if is_answered:
                answered += 1
                clients.add(flow.peer)
        elif flow.direction == 'inbound' and flow.peer != HOST_ADDRESS and flow.port == 443 and is_answered:
            vnet_answered = True
    if answered >= 10 and len(clients) >= 3:
        return 'external', 'proven'
    if vnet_answered and not internet_let_in:
        return 'internal', 'likely'
    return None, None
