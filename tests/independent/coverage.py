"""Coverage, causes, needs and status: contract 2.3 and the exit status of section 2."""
from collections import defaultdict
from fractions import Fraction

from flows import HOUR

STEP = HOUR // 6
COMMON_PORTS = (53, 80, 123, 443)


class CoverageRow:
    def __init__(self, row, subnet):
        self.row, self.subnet = row, subnet
        self.verdict, self.silent_since = 'no-evidence', None
        self.is_policy_alone = False
        self.denied_tuples = self.allowed_tuples = 0
        self.first_flow = self.last_flow = None


def coverage_of(classified, rows, subnets, findings, facts):
    """{(requirement, subnet): CoverageRow}."""
    alone, shared = defaultdict(list), defaultdict(list)
    for flow in classified:
        requirement = flow.requirement
        for id in flow.candidate_ids:
            (alone if id == requirement else shared)[(id, flow.subnet)].append(flow)
    verdicts, kinds = defaultdict(set), defaultdict(set)
    for finding in findings:
        if finding.requirement:
            is_policy = finding.kind == 'source-restricted' and finding.verdict != 'recovered'
            verdicts[(finding.requirement, finding.subnet)].add('partial' if is_policy else finding.verdict)
            kinds[(finding.requirement, finding.subnet)].add(finding.kind)
    found = {}
    for row in rows:
        for subnet in subnets:
            entry = CoverageRow(row, subnet)
            own, others = alone[(row.id, subnet)], shared[(row.id, subnet)]
            entry.verdict = verdict_of(verdicts[(row.id, subnet)], own, others)
            entry.is_policy_alone = kinds[(row.id, subnet)] == {'source-restricted'}
            flows = own + others
            if flows:
                entry.denied_tuples = sum(flow.is_denied for flow in flows)
                entry.allowed_tuples = len(flows) - entry.denied_tuples
                entry.first_flow, entry.last_flow = min(flow.time for flow in flows), max(flow.time for flow in flows)
            if entry.verdict == 'allowed' and (row.direction == 'outbound' or row.id == 'APIM-IN-MANAGEMENT'):
                entry.silent_since = silent_since(own, facts.last_of_subnet[subnet])
            found[(row.id, subnet)] = entry
    return found


def verdict_of(verdicts, own, others):
    for name, holds in (('blocked', {'blocked', 'share-unknown'}), ('partial', {'partial'}),
                        ('unanswered', {'unanswered'}), ('recovered', {'recovered'})):
        if verdicts & holds:
            return name
    if any(not flow.is_denied for flow in own):
        return 'allowed'
    return 'indistinguishable' if own or others else 'no-evidence'


def silent_since(flows, end):
    """`end`: the last flow of the subnet."""
    times = sorted(flow.time for flow in flows if not flow.is_denied)
    silence = end - times[-1]
    longest = max((later - earlier for earlier, later in zip(times, times[1:])), default=0)
    is_steady = len({time // HOUR for time in times}) >= 3 or len({time // STEP for time in times}) >= 5
    return times[-1] if silence >= HOUR and silence >= 3 * longest and is_steady else None


class Cause:
    def __init__(self, kind, acl, rule, subnet):
        self.kind, self.acl, self.rule, self.subnet = kind, acl, rule, subnet
        self.findings, self.denied_tuples = [], 0
        self.first_denied = self.last_denied = None

    def take(self, finding):
        self.findings.append('F-' + finding.fingerprint[:8])
        self.denied_tuples += finding.denied_tuples
        for name, best in (('first_denied', min), ('last_denied', max)):
            times = [time for time in (getattr(self, name), getattr(finding, name)) if time is not None]
            setattr(self, name, best(times, default=None))


def causes_of(findings):
    """{(kind, acl in lower case, rule, subnet): Cause}."""
    found = {}
    for finding in findings:
        if finding.kind in ('blocked-dependency', 'ambiguous-dependency') or (
                finding.kind == 'unlisted-blocked' and finding.worked_before):
            kind = 'encryption' if finding.rule_origin == 'encryption' else 'rule'
            key = (kind, finding.acl.lower(), finding.rule, finding.subnet)
        elif finding.verdict == 'unanswered':
            key = ('no-answer', None, None, finding.subnet)
        else:
            continue
        found.setdefault(key, Cause(key[0], finding.acl, finding.rule, finding.subnet)).take(finding)
    return found


def required_rows(coverage, mode):
    """Coverage rows of required requirements that the mode, given or known, leaves."""
    leaves_external = mode[0] != 'internal'
    return [entry for entry in coverage.values() if entry.row.is_required and (leaves_external or not entry.row.is_external_only)]


def needs_of(coverage, mode):
    """{required, blocked, degraded, seen, never_tried}: counted over (row, subnet)."""
    words = [need_of(entry) for entry in required_rows(coverage, mode)]
    return {'required': len(words), **{name: words.count(name) for name in ('blocked', 'degraded', 'seen', 'never_tried')}}


def need_of(entry):
    """Flows that may be of several requirements show none of them working, and none of them refused."""
    if entry.verdict == 'partial':
        # Turning some away is policy: what is source-restricted lets others in.
        return 'seen' if entry.is_policy_alone else 'degraded'
    return {'blocked': 'blocked', 'unanswered': 'blocked', 'allowed': 'seen', 'recovered': 'seen',
            'no-evidence': 'never_tried'}.get(entry.verdict)


def is_thin(coverage, mode, classified, least):
    """Fewer than `least` of the required rows have evidence, in a group of subnets whose addresses share interfaces."""
    required = required_rows(coverage, mode)
    for subnets in subnets_by_interface(classified, {entry.subnet for entry in required}):
        here = [entry for entry in required if entry.subnet in subnets]
        ids = {entry.row.id for entry in here}
        with_evidence = {entry.row.id for entry in here if entry.verdict != 'no-evidence'}
        if len(with_evidence) < least * len(ids):
            return True
    return False


def subnets_by_interface(classified, subnets):
    macs = {subnet: set() for subnet in subnets}
    for flow in classified:
        logged_here = flow.flow.local == flow.local
        if flow.vantage == 'near' and logged_here and flow.flow.mac and flow.subnet in macs:
            macs[flow.subnet].add(flow.flow.mac)
    groups = []
    for subnet in sorted(macs):
        touching = [group for group in groups if any(macs[other] & macs[subnet] for other in group)]
        groups = [group for group in groups if group not in touching] + [{subnet}.union(*touching)]
    return groups


def is_other_edition(logs, rows):
    """No flow on any of the edition's identifying ports: those that only such services use."""
    ports = [row for row in rows if any(span[0] not in COMMON_PORTS and span != (0, 65535) for span in row.ports)]
    if not ports:
        return False
    return not any(row.names_port(flow.port) and flow.port not in COMMON_PORTS for flow in logs for row in ports)


def exit_status(analysis, options):
    """(exit, whether the evidence is too thin to call anything fine)."""
    fails = [finding for finding in analysis.findings if finding.severity in ('high', 'critical')]
    doubts = [
        analysis.logs.bad_records or analysis.logs.unreadable,
        not analysis.classified,
        analysis.scope.is_unknown,
        is_other_edition(analysis.classified, analysis.rows),
        is_thin(analysis.coverage, analysis.mode, analysis.classified, options.get('min_coverage', 0.5)),
    ]
    if not analysis.logs.blobs:
        return 4, True
    if fails and not analysis.scope.is_unknown:
        return 1, any(doubts)
    return 3 if any(doubts) else 0, any(doubts)


def word_of(analysis):
    """The verdict word of 2.6."""
    severe = [finding for finding in analysis.findings if finding.severity in ('medium', 'high', 'critical')]
    is_open = [finding for finding in severe if finding.state != 'recovered']
    if analysis.is_in_doubt and not severe:
        return 'COULD NOT TELL'
    if any(finding.verdict in ('blocked', 'share-unknown') or finding.verdict == 'unanswered' and finding.reach >= Fraction(95, 100)
           for finding in is_open):
        return 'BLOCKED'
    required = required_rows(analysis.coverage, analysis.mode)
    if is_open or any(entry.silent_since for entry in required):
        return 'DEGRADED'
    if any(entry.verdict == 'no-evidence' for entry in required) or any(map(analysis.is_newly_recovered, analysis.findings)):
        return 'OK SO FAR'
    return 'OK'
