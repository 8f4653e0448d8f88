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
    """S from the logs alone. Archives below 64 MB are searched as a whole, and the ones here are."""
    shown = {flow.local for flow in logs.flows if shows(flow, rows, tag_file)}
    if shown:
        return Scope(by_address=grouped(shown, logs.flows), is_inferred=True)
    everything = {flow.local for flow in logs.flows}
    return Scope(by_address=grouped(everything, logs.flows), is_inferred=True, is_unknown=True)


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
        # Rules without such a prefix are the platform's or an admin's.
        if flow.local in acls and flow.acl.lower() not in NO_ACL and flow.rule.startswith(('UserRule_', 'DefaultRule_')):
            acls[flow.local].add(flow.acl.lower())
    around = {}
    for address in sorted(addresses, key=lambda address: (address.version, address)):
        length = 24 if address.version == 4 else 64
        around.setdefault(ipaddress.ip_network((address, length), strict=False), []).append(address)
    labels = {}
    for network, members in around.items():
        parts = parts_by_acl(members, acls)
        taken = set()
        for part in parts:
            label = network if len(parts) == 1 else smallest_prefix(part)
            # Where another part has that prefix, the next wider one that none has; at most the whole block.
            while label in taken and label != network:
                label = label.supernet()
            taken.add(label)
            labels.update({address: str(label) for address in part})
    return labels


def parts_by_acl(members, acls):
    """Addresses that share an ACL, directly or through others, are one part. Those without any join their nearest neighbour's."""
    with_acl = [address for address in members if acls[address]]
    if not with_acl:
        return [members]
    parts = []
    for address in with_acl:
        touching = [part for part in parts if part[1] & acls[address]]
        parts = [part for part in parts if part not in touching]
        parts.append(([address] + sum((part[0] for part in touching), []), acls[address].union(*(part[1] for part in touching))))
    for address in members:
        if not acls[address]:
            nearest = min(with_acl, key=lambda other: (abs(int(other) - int(address)), other))
            next(part for part in parts if nearest in part[0])[0].append(address)
    return sorted((sorted(part[0]) for part in parts), key=lambda part: part[0])


def smallest_prefix(addresses):
    network = ipaddress.ip_network(addresses[0])
    while not all(address in network for address in addresses):
        network = network.supernet()
    return network


def mode_of(given_mode, classified, rows, is_internet):
    """(mode, origin). Whoever of the Internet calls the ports of APIM-IN-CLIENT counts, whatever row the call is for."""
    if given_mode:
        return given_mode, 'given'
    by_id = {row.id: row for row in rows}
    clients, answered, internet_let_in, vnet_answered = set(), 0, False, False
    for flow in classified:
        if flow.is_denied or flow.is_platform or flow.direction != 'inbound':
            continue
        if is_call(flow, by_id.get('APIM-IN-CLIENT')) and is_internet(flow.peer):
            internet_let_in = True
            if (flow.sent or 0) >= 2 and (flow.received or 0) >= 2:
                answered += 1
                clients.add(flow.peer)
        elif is_call(flow, by_id.get('APIM-IN-CLIENT-VNET')) and flow.peer != HOST_ADDRESS and not is_internet(flow.peer):
            vnet_answered |= (flow.received or 0) > 0
    if answered >= 10 and len(clients) >= 3:
        return 'external', 'proven'
    if vnet_answered and not internet_let_in:
        return 'internal', 'likely'
    return None, None


def is_call(flow, row):
    return row is not None and row.names_port(flow.port) and flow.protocol in row.protocols
