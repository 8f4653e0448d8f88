"""Allowed connections that got no answer, and forced tunnelling: contract 2.2."""
from collections import Counter, defaultdict
from fractions import Fraction

from course import state_of
from findings import Finding, best_confidence, origin_of
from flows import HOUR


def unanswered_findings(classified, groups, facts, mode):
    trusted = acls_with_answers(classified)
    counted = defaultdict(list)
    for flow in classified:
        if is_counted(flow) and flow.direction == 'outbound' and flow.protocol == 'TCP' and len(flow.rows) == 1:
            if flow.flow.version == 4 or flow.acl.lower() in trusted:
                key = (flow.candidate_ids, flow.subnet, flow.vantage, flow.acl.lower(), flow.rule)
                counted[key].append(flow)
    found = []
    for (ids, subnet, _, _, rule), flows in counted.items():
        e, u = len(flows), sum(flow.received == 0 for flow in flows)
        if e < 5 or 2 * u < e:
            continue
        sample = flows[0]
        finding = Finding('unanswered-dependency', 'outbound', sample.vantage, subnet, sample.acl, rule)
        finding.rule_origin = origin_of(rule, sample.flow.version)
        finding.identity = 'unanswered:' + ','.join(sorted(ids))
        finding.row, finding.candidate_rows, finding.requirement = sample.rows[0], sample.rows, sample.rows[0].id
        finding.candidates, finding.impact = sorted(ids), sample.rows[0].impact
        finding.confidence = best_confidence([flow for flow in flows if flow.received == 0], mode)
        finding.verdict, finding.reach = 'unanswered', Fraction(u, e)
        finding.state = state_of(groups.newest[(ids, subnet)], subnet, facts)
        if is_answered_again(flows):
            finding.state = 'recovered'
        finding.ports = sorted({flow.port for flow in flows})
        finding.protocol = 'TCP'
        finding.sent_tuples, finding.unanswered_tuples = e, u
        finding.worked_before = worked_before(flows)
        # Of those without an answer. Nothing was denied, so the addresses come with 0.
        unanswered = [flow for flow in flows if flow.received == 0]
        finding.began = min(flow.time for flow in unanswered)
        finding.is_by_tag = any(flow.is_by_named_tag for flow in unanswered)
        finding.local_addresses = Counter({str(flow.local): 0 for flow in unanswered})
        finding.remote_addresses = Counter({str(flow.peer): 0 for flow in unanswered})
        found.append(finding)
    return found + forced_tunnelling(found)


def is_answered_again(flows):
    """An answer came an hour or more after the last tuple without one."""
    last = max(flow.time for flow in flows if flow.received == 0)
    return any(flow.received > 0 and flow.time >= last + HOUR for flow in flows)


def worked_before(flows):
    first = min(flow.time for flow in flows if flow.received == 0)
    return any(flow.received > 0 and flow.time < first for flow in flows)


def is_counted(flow):
    """An allowed end or continue tuple with packets sent, whose answer was counted too."""
    return (not flow.is_denied and not flow.is_platform and flow.state in ('E', 'C')
            and (flow.sent or 0) > 0 and flow.received is not None)


def acls_with_answers(classified):
    """ACLs (lower case) of v2 logs where at least 20 % of such tuples have answers."""
    all_tuples, answered = defaultdict(int), defaultdict(int)
    for flow in classified:
        if is_counted(flow) and flow.flow.version == 2:
            all_tuples[flow.acl.lower()] += 1
            answered[flow.acl.lower()] += flow.received > 0
    return {acl for acl, tuples in all_tuples.items() if 5 * answered[acl] >= tuples}


def forced_tunnelling(unanswered):
    """One per subnet with two or more such sets, or with SQL alone where nothing at all was answered."""
    found = []
    for subnet in sorted({finding.subnet for finding in unanswered}):
        findings = [finding for finding in unanswered if finding.subnet == subnet]
        sets = {tuple(finding.candidates) for finding in findings}
        e, u = (sum(getattr(finding, name) for finding in findings) for name in ('sent_tuples', 'unanswered_tuples'))
        if len(sets) < 2 and not (sets == {('APIM-OUT-SQL',)} and u == e):
            continue
        finding = Finding('forced-tunnelling-suspected', 'outbound', 'near', subnet, None, None)
        finding.identity, finding.impact, finding.confidence = 'forced-tunnelling', '1', 'likely'
        finding.candidates = sorted({id for ids in sets for id in ids})
        finding.verdict, finding.reach = 'unanswered', Fraction(u, e)
        finding.state = next(name for name in ('ongoing', 'quiet', 'recovered') if any(each.state == name for each in findings))
        finding.ports, finding.protocol = sorted({port for each in findings for port in each.ports}), 'TCP'
        finding.rule_origin = 'unknown'
        finding.worked_before = any(each.worked_before for each in findings)
        finding.local_addresses = Counter({ip: 0 for each in findings for ip in each.local_addresses})
        finding.remote_addresses = Counter({ip: 0 for each in findings for ip in each.remote_addresses})
        finding.sent_tuples, finding.unanswered_tuples = e, u
        finding.began = min(each.began for each in findings)
        found.append(finding)
    return found
