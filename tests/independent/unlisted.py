"""Denied flows that no row wants: contract 2.1.5, and `unlisted-blocked` of 2.2."""
from collections import defaultdict
from fractions import Fraction

from course import Course
from findings import Finding
from flows import HOUR
from tags import is_private

AT_MOST = 10


class Unmatched:
    """Denied flows in scope without candidate: totals, the list, and what may become findings."""

    def __init__(self, classified, rows, tags, facts):
        self.denied = [flow for flow in classified if flow.is_denied and not flow.candidate_ids]
        self.new_allowed = defaultdict(list)
        self.flows = defaultdict(list)
        for flow in classified:
            if not flow.candidate_ids:
                self.flows[peer_key(flow)].append(flow)
                if facts.is_new_allowed(flow):
                    self.new_allowed[peer_key(flow)].append(flow.time)
        self.noise = [flow for flow in self.denied if flow.direction == 'inbound' and tags.is_internet(flow.peer)]
        noise = set(map(id, self.noise))
        self.candidates = [flow for flow in self.denied if id(flow) not in noise]
        self.listed_flows = self.candidates + [flow for flow in self.noise if is_port_of_table(flow, rows)]

    def listed(self):
        """{(direction, remote, port, protocol, rule, acl): entry} of the list."""
        grouped = defaultdict(list)
        for flow in self.listed_flows:
            grouped[(flow.direction, str(flow.peer), flow.port, flow.protocol, flow.rule, flow.acl.lower())].append(flow)
        return {key: self.entry(flows) for key, flows in grouped.items()}

    def entry(self, flows):
        first = min(flow.time for flow in flows)
        before = [time for key in {peer_key(flow) for flow in flows} for time in self.new_allowed[key] if time < first]
        return {'denied_tuples': len(flows), 'first_denied': first, 'last_denied': max(flow.time for flow in flows),
                'last_allowed_before': max(before, default=None)}

    def worked_peers(self, denied):
        """Peers that were let through before their first denial among these flows."""
        first = {}
        for flow in denied:
            key = peer_key(flow)
            first[key] = min(flow.time, first.get(key, flow.time))
        return {key[-1] for key, time in first.items() if any(allowed < time for allowed in self.new_allowed[key])}


def peer_key(flow):
    return (flow.direction, flow.subnet, flow.protocol, flow.port, flow.peer)


def is_port_of_table(flow, rows):
    """A destination port that any analyzed row names for the flow's direction, whatever the protocol."""
    return any(row.fits_direction(flow.direction) and row.names_port(flow.port) for row in rows)


def unlisted_findings(unmatched, rows, facts, is_seen_working):
    """`is_seen_working(requirement id, subnet)` says whether coverage saw a row work."""
    grouped = defaultdict(list)
    for flow in unmatched.candidates:
        grouped[(flow.direction, flow.vantage, flow.subnet, flow.acl.lower(), flow.rule, flow.port, flow.protocol)].append(flow)
    by_rule = defaultdict(list)
    for key, denied in grouped.items():
        if went_on(denied) or unmatched.worked_peers(denied):
            by_rule[key[:5]].append(denied)
    found = []
    for groups in by_rule.values():
        groups.sort(key=lambda denied: (not unmatched.worked_peers(denied), -len(denied), denied[0].port, denied[0].protocol))
        found += [finding_of(denied, unmatched, rows, facts, is_seen_working) for denied in groups[:AT_MOST]]
        if groups[AT_MOST:]:
            found.append(remainder(sum(groups[AT_MOST:], []), unmatched, facts))
    return found


def went_on(denied):
    times = [flow.time for flow in denied]
    return len(times) >= 5 and max(times) - min(times) >= HOUR


def finding_of(denied, unmatched, rows, facts, is_seen_working):
    sample = denied[0]
    finding = drafted(denied, unmatched, facts)
    finding.identity = 'unlisted:%s/%d' % (sample.protocol, sample.port)
    worked = unmatched.worked_peers(denied)
    left = [row for row in rows if row.is_required and row.fits_direction(sample.direction) and row.names_port(sample.port)
            and sample.protocol in row.protocols and not is_seen_working(row.id, sample.subnet)]
    if len(left) == 1 and any(is_private(peer) for peer in worked):
        finding.row, finding.requirement, finding.impact = left[0], left[0].id, left[0].impact
        finding.severity_cap = 'critical'
    return finding


def remainder(denied, unmatched, facts):
    """The others of one rule, as one finding with `ports` empty."""
    finding = drafted(denied, unmatched, facts)
    finding.identity = 'unlisted:others'
    finding.ports, finding.protocol = [], None
    return finding


def drafted(denied, unmatched, facts):
    sample = denied[0]
    finding = Finding('unlisted-blocked', sample.direction, sample.vantage, sample.subnet, sample.acl, sample.rule)
    finding.take_denied(denied)
    keys = {peer_key(flow) for flow in denied}
    new_allowed = [TimeOnly(time) for key in keys for time in unmatched.new_allowed[key]]
    flows = [flow for key in keys for flow in unmatched.flows[key]]
    finding.take_course(Course(denied, new_allowed, flows, sample.subnet, facts), sample.direction == 'outbound')
    finding.impact, finding.confidence = Fraction(1, 2), 'possible'
    finding.worked_before = bool(unmatched.worked_peers(denied))
    finding.cap('medium' if finding.worked_before else 'info')
    return finding


class TimeOnly:
    def __init__(self, time):
        self.time = time
