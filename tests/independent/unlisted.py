"""Denied flows that no row wants: contract 2.1.5, and `unlisted-blocked` of 2.2."""
from collections import defaultdict
from fractions import Fraction

from course import Course, hours_of, peer_key, reach_of, state_of
from findings import Finding
from flows import HOUR
from tags import HOST_ADDRESS, is_named

AT_MOST = 10
NOT_LEFT = ('allowed', 'partial', 'recovered')
VERDICTS = ('blocked', 'partial', 'share-unknown', 'recovered')
STATES = ('ongoing', 'quiet', 'recovered')


class Unmatched:
    """Denied flows in scope without candidate: totals, the list, and what may become findings."""

    def __init__(self, classified, table_rows, tags, facts):
        """`table_rows`: rows of the edition, whatever the mode."""
        self.denied = [flow for flow in classified if flow.is_denied and not flow.candidate_ids]
        self.noise = [flow for flow in self.denied if flow.direction == 'inbound' and tags.is_internet(flow.peer)]
        noise = set(map(id, self.noise))
        self.candidates = [flow for flow in self.denied if id(flow) not in noise]
        self.listed_flows = self.candidates + [flow for flow in self.noise if is_port_of_table(flow.port, table_rows)]
        # Whatever the subnet, as the list has none. Of the Internet's clients it is not kept who got in.
        self.new_allowed = defaultdict(list)
        for key, times in facts.contacts.items():
            direction, _, _, port, peer = key
            if direction != 'inbound' or not tags.is_internet(peer) or is_guarded(port, table_rows):
                self.new_allowed[without_subnet(key)] += times

    def listed(self):
        """{(direction, remote, port, protocol, rule, acl): entry} of the list."""
        grouped = defaultdict(list)
        for flow in self.listed_flows:
            grouped[(flow.direction, str(flow.peer), flow.port, flow.protocol, flow.rule, flow.acl.lower())].append(flow)
        return {key: self.entry(flows) for key, flows in grouped.items()}

    def entry(self, flows):
        first = min(flow.time for flow in flows)
        times = self.new_allowed.get(without_subnet(peer_key(flows[0])), ())
        before = [hour.before(first) for hour in hours_of(times).values()]
        return {'denied_tuples': len(flows), 'first_denied': first, 'last_denied': max(flow.time for flow in flows),
                'last_allowed_before': max(filter(None, before), default=None)}

    def by_rule(self):
        """{(direction, rule, acl): (ports, tuples, peers)}."""
        grouped = defaultdict(list)
        for flow in self.listed_flows:
            grouped[(flow.direction, flow.rule, flow.acl.lower())].append(flow)
        return {key: (len({flow.port for flow in flows}), len(flows), len({flow.peer for flow in flows}))
                for key, flows in grouped.items()}


def without_subnet(key):
    direction, _, *rest = key
    return (direction, *rest)


def is_port_of_table(port, table_rows):
    """A destination port that a row names, whatever the direction and protocol."""
    return any(row.names_port(port) and row.ports != [(0, 65535)] for row in table_rows)


def is_guarded(port, table_rows):
    """A port that only a named service must reach from outside. Where the Internet may call, only required rows count."""
    inbound = [row for row in table_rows if row.direction == 'inbound']
    is_open = any(row.tag in ('Internet', '*') and row.names_port(port) for row in inbound)
    return any(is_named(row.tag) and row.names_port(port) and (row.is_required or not is_open) for row in inbound)


def unlisted_findings(unmatched, rows, facts, tags, verdict_of):
    """`verdict_of(requirement id, subnet)` is that of coverage before these findings."""
    grouped = defaultdict(list)
    for flow in unmatched.candidates:
        grouped[(flow.direction, flow.vantage, flow.subnet, flow.acl.lower(), flow.rule, flow.port, flow.protocol)].append(flow)
    by_rule = defaultdict(list)
    for key, denied in grouped.items():
        finding = finding_of(denied, facts)
        if went_on(finding) or finding.worked_before:
            finding.left = left(denied, rows, tags, verdict_of)
            by_rule[key[:5]].append(finding)
    found = []
    for findings in by_rule.values():
        findings.sort(key=lambda finding: (not finding.worked_before, -finding.denied_tuples, finding.fingerprint[:8]))
        for finding in findings[:AT_MOST]:
            take_over(finding)
        found += findings[:AT_MOST]
        if findings[AT_MOST:]:
            found.append(joined(findings[AT_MOST:]))
    return found


def went_on(finding):
    return finding.denied_tuples >= 5 and finding.last_denied - finding.first_denied >= HOUR


def finding_of(denied, facts):
    sample = denied[0]
    finding = Finding('unlisted-blocked', sample.direction, sample.vantage, sample.subnet, sample.acl, sample.rule)
    finding.identity = 'unlisted:%s/%d' % (sample.protocol, sample.port)
    finding.take_denied(denied)
    course = Course(denied, facts.allowed_to_peers(denied), sample.subnet, facts)
    newest = max(course.last_denied, course.last_allowed or 0)
    finding.take_course(course, state_of(newest, sample.subnet, facts), sample.direction == 'outbound')
    finding.impact, finding.confidence = Fraction(1, 2), 'possible'
    return finding


def left(denied, rows, tags, verdict_of):
    """Required rows that the busiest peer may be the private endpoint of: those not seen working."""
    sample = denied[0]
    tuples = defaultdict(int)
    for flow in denied:
        tuples[flow.peer] += 1
    busiest = min(tuples, key=lambda peer: (-tuples[peer], str(peer)))
    if sample.direction != 'outbound' or tags.is_internet(busiest) or busiest == HOST_ADDRESS:
        return []
    return [row for row in rows if row.is_required and row.direction == 'outbound' and is_named(row.tag)
            and row.names_port(sample.port) and sample.protocol in row.protocols
            and verdict_of(row.id, sample.subnet) not in NOT_LEFT]


def take_over(finding):
    if finding.worked_before and len(finding.left) == 1:
        row = finding.left[0]
        finding.row, finding.requirement, finding.impact = row, row.id, row.impact
    else:
        finding.cap('medium' if finding.worked_before else 'info')


def joined(findings):
    """The others of one rule, as one finding with `ports` empty."""
    sample = findings[0]
    finding = Finding('unlisted-blocked', sample.direction, sample.vantage, sample.subnet, sample.acl, sample.rule)
    finding.identity, finding.rule_origin = 'unlisted:*/*', sample.rule_origin
    for name in ('denied_tuples', 'denied_tuples_24h', 'allowed_24h', 'allowed_since_first_denied'):
        setattr(finding, name, sum(getattr(each, name) for each in findings))
    for name in ('local_addresses', 'remote_addresses', 'hours'):
        for each in findings:
            getattr(finding, name).update(getattr(each, name))
    finding.protocol = '+'.join(sorted({each.protocol for each in findings}))
    finding.first_denied = finding.began = min(each.first_denied for each in findings)
    finding.last_denied = max(each.last_denied for each in findings)
    finding.last_allowed_before = max(filter(None, (each.last_allowed_before for each in findings)), default=None)
    finding.worked_before = any(each.worked_before for each in findings)
    finding.verdict = next(name for name in VERDICTS if any(each.verdict == name for each in findings))
    finding.state = next(name for name in STATES if any(each.state == name for each in findings))
    finding.reach = reach_of(finding.verdict, finding.denied_tuples_24h, finding.allowed_24h, sample.direction == 'outbound')
    finding.impact, finding.confidence = Fraction(1, 2), 'possible'
    finding.cap('medium' if finding.worked_before else 'info')
    return finding
