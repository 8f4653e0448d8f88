"""Findings of denied flows: contract 2.2 (unlisted ones: `unlisted.py`; unanswered ones: `unanswered.py`).

The contract leaves room in these places. What was decided for them is numbered for reference.

Input and scope
 1. A tuple whose time is impossible (2.1.6) counts as malformed also where every tuple of its record does; such a record
    is not a bad record and does not make the exit status 3. "More than 90 days" is an absolute difference in ms.
 2. Malformed tuples have no time: those of every blob that the window's hours select count.
 3. A local address inside two given subnets counts for the longer prefix.
 4. Local and remote address of an internal flow are both its destination.
 5. Inferred scope: archives below 64 MB are searched as a whole; flows outside of the window show nothing. 168.63.129.16 and
    an answer count on any port of the three rows, whatever the row. ACLs are those of user and default rules.
 6. Addresses of one /24 that share an ACL, directly or through others, are one scope; one without any ACL goes with its
    nearest neighbour that has one. Parts that come to the same smallest prefix take the next wider one.
 7. The mode is one for all of S. Whoever of the Internet calls the TCP ports of APIM-IN-CLIENT counts, Traffic Manager included.
    `likely-internal` is `vnet_mode: internal`, `vnet_mode_origin: likely`. "Let in" is any allowed tuple.
 8. A dotted tag name is regional where its entry has a region; `AzureMonitor.Core` does not count for AzureMonitor.
 9. The last flow, for staleness, is the newest good tuple of all that was read in the window; for silence, outages and
    "quiet" it is that of the subnet.

Findings
10. Everything goes by UTC hours, of which first, last and number are known. An hour of the finding counts in R when its last
    flow is later than L - 24 h; one of new allowed flows when, besides, its first flow is not later than L.
11. "No new allowed flow after the first denial in R" ends with L. `recovered` needs L + 1 h, to the ms. `share-unknown` is
    asked first.
12. `last_allowed_before` is an hour's last flow, or its first where the last is too late; `first_allowed_after` likewise.
    `worked_before` says whether the former exists.
13. Allowed PlatformRule flows have no candidates (coverage, new allowed). They count in `input` and keep a set from being quiet.
14. "The candidate set had no flow" looks at flows of the same set and subnet, of any direction and vantage.
15. `source-restricted` by "all candidates that answered yes" needs at least one that did, for each denied flow.
16. Strangers: every flow is inbound and unknown for every candidate; "let in" is by direction, peer, port and protocol, whatever
    the subnet; "no other Azure tag" is any entry of the loaded file, stale or not, AzureCloud included.
17. Outage: silence counts from the first refusal after the last new allowed flow to the last flow of the subnet; due are the
    new allowed tuples of the day up to that flow x silence / their span (an hour at least).
18. "No stranger" is asked of findings that are inbound, unknown for every candidate, no outage, and with a > 0; whether or not
    the address was let in. Refusals in three hours or more. Allowed flows of its own finding are those of the address on the
    ports that refuse it. The rest is looked at anew.
19. `outside_loaded_tags` counts denied tuples whose primary's tag is in the loaded file and does not list the peer.
20. A flow with more than one unknown candidate counts for no requirement; else for its primary. A finding is ambiguous
    where all of its denied flows are.
21. `unlisted-blocked` is keyed by vantage, too. "Before" is before the peer's first denial in the group. Its candidates are
    empty, also where elimination gives a requirement; impact is 0.5 also where the severity is info.
22. Elimination: of outbound refusals whose busiest peer is not of the Internet, rows with a named tag on that port and protocol;
    seen working is a coverage verdict (before these findings) of allowed, partial or recovered.
23. The eleventh and later ones of a rule are one finding whose fingerprint starts with `unlisted:*/*`; equal ones go by id. It
    may be medium where one of its peers worked.
24. Unmatched: inbound from anything but the Internet is listed. "A port of the table" is one that any analyzed row of the
    edition names without brackets. Such refusals are listed, count in `tuples`, `peers` and `by_rule`, and still count as noise
    and become no finding. Whether the Internet was let in before is known on guarded ports alone (`unlisted.is_guarded`).
25. Unanswered: a tuple without a received counter counts neither in e nor in u. "Such tuples" of a v2 ACL are allowed end
    and continue tuples in scope with packets sent, any direction and protocol. State is `recovered` where an answer came an
    hour or more after the last tuple without one (as the program did before; the contract is silent).
26. Forced tunnelling: "sets" are the unanswered findings' candidate sets; candidates are their union, reach is all u / all e,
    vantage near, acl and rule empty in the fingerprint; state the liveliest of theirs.

Coverage, causes, status (`coverage.py`)
27. A coverage verdict comes from findings whose requirement is the row, unlisted ones included; `source-restricted` gives
    `partial` unless recovered; `share-unknown` counts as blocked. Tuples and times are of all flows that have the row among
    their candidates.
28. `silent_since` looks at the allowed flows that count for the row; gaps are exact; ten-minute steps start at whole
    multiples of ten minutes.
29. Causes: blocked, ambiguous, and unlisted findings that worked before, whatever their verdict; unanswered and forced
    tunnelling findings are one `no-answer` cause a subnet.
30. `needs` counts rows by subnet: blocked (blocked, unanswered); degraded (partial); seen (allowed, recovered, source-restricted
    alone); never_tried (no-evidence); indistinguishable in none.
31. Identifying ports of an edition: those its rows name, other than 53, 80, 123, 443 and `*`; none named, no mismatch.
    Flows in scope are asked.
32. Required rows with evidence are counted per group of subnets that share a MAC (near flows); likely internal mode takes
    external-only rows out.
"""
import hashlib
from collections import Counter, defaultdict
from fractions import Fraction

from course import Allowed, Course, hour_of, hours_of, reach_of, state_of
from flows import DAY, HOUR
from tags import UNKNOWN, YES, is_named

CONFIDENCE = {'confirmed': Fraction(1), 'likely': Fraction(85, 100), 'possible': Fraction(60, 100)}
ACTIVITY = {'ongoing': Fraction(1), 'quiet': Fraction(1, 2), 'recovered': Fraction(1, 5)}
SEVERITIES = ('info', 'low', 'medium', 'high', 'critical')
SEVERITY_CAPS = {'ambiguous-dependency': 'medium', 'source-restricted': 'info'}
STRANGER_LIMIT = 30


class Finding:
    """A finding with the names of the JSON. `row` is the primary, None where there is none."""

    def __init__(self, kind, direction, vantage, subnet, acl, rule):
        self.kind, self.direction, self.vantage, self.subnet = kind, direction, vantage, subnet
        self.acl, self.rule, self.rule_origin = acl, rule, None
        self.row, self.requirement, self.candidates, self.candidate_rows = None, None, [], []
        self.impact = self.confidence = self.verdict = self.state = self.reach = None
        self.denied_tuples = self.denied_tuples_24h = self.allowed_24h = self.outside_loaded_tags = 0
        self.first_denied = self.last_denied = self.last_allowed_before = self.first_allowed_after = None
        self.ports, self.protocol, self.worked_before = [], None, None
        self.local_addresses, self.remote_addresses, self.hours = Counter(), Counter(), Counter()
        self.address_count = None
        self.severity_cap = 'critical'
        self.sent_tuples = self.unanswered_tuples = self.allowed_since_first_denied = 0
        self.began, self.is_by_tag, self.follows_dns = None, False, False
        self.identity = None

    def cap(self, severity):
        self.severity_cap = min(self.severity_cap, severity, key=SEVERITIES.index)

    def take_denied(self, denied):
        """Fills what follows from the denied flows alone."""
        self.denied_tuples = len(denied)
        self.local_addresses = Counter(str(flow.local) for flow in denied)
        self.remote_addresses = Counter(str(flow.peer) for flow in denied)
        self.hours = Counter(hour_of(flow.time) for flow in denied)
        self.ports = sorted({flow.port for flow in denied})
        self.protocol = '+'.join(sorted({flow.protocol for flow in denied}))
        self.rule_origin = origin_of(self.rule, denied[0].flow.version)

    def take_course(self, course, state, is_generous):
        self.verdict, self.reach = course.verdict, course.reach(is_generous)
        self.state = 'recovered' if course.verdict == 'recovered' else state
        self.first_denied, self.last_denied = course.first_denied, course.last_denied
        self.began = self.first_denied
        self.last_allowed_before, self.first_allowed_after = course.last_allowed_before, course.first_allowed_after
        self.denied_tuples_24h, self.allowed_24h = course.d, course.a
        self.allowed_since_first_denied = sum(hour.tuples for hour in course.allowed_hours if hour.last > self.first_denied)
        self.worked_before = course.last_allowed_before is not None

    @property
    def exact_score(self):
        return 100 * Fraction(self.impact) * CONFIDENCE[self.confidence] * ACTIVITY[self.state] * self.reach

    @property
    def score(self):
        """Rounded half up to one decimal."""
        return float(Fraction((self.exact_score * 10 + Fraction(1, 2)).__floor__(), 10))

    @property
    def severity(self):
        by_score = next(name for name, least in (('critical', 75), ('high', 50), ('medium', 25), ('low', 10), ('info', -1))
                        if self.score >= least)
        return min(by_score, self.severity_cap, key=SEVERITIES.index)

    @property
    def fingerprint(self):
        lines = (self.identity or ','.join(sorted(self.candidates)), self.direction, self.vantage, self.subnet,
                 (self.acl or '').lower(), self.rule or '')
        return hashlib.sha256('\n'.join(lines).encode()).hexdigest()[:16]


def origin_of(rule, version):
    for prefix, origin in (('UserRule_', 'user'), ('DefaultRule_', 'default')):
        if rule.startswith(prefix):
            return origin
    if rule in ('PlatformRule', 'unspecified'):
        return 'platform' if rule == 'PlatformRule' else 'encryption'
    return 'admin' if version == 4 else 'unknown'


class Groups:
    """Flows in scope, arranged as findings ask for them."""

    def __init__(self, classified, facts):
        self.new_allowed, self.denied = defaultdict(list), defaultdict(list)
        self.newest, self.let_in = {}, set()
        for flow in classified:
            if not flow.is_denied and not flow.is_platform:
                self.let_in.add(contact_key(flow))
            # A set is quiet or not in a subnet, whatever the direction.
            seen_key = (flow.seen_ids, flow.subnet)
            self.newest[seen_key] = max(flow.time, self.newest.get(seen_key, flow.time))
            if not flow.candidate_ids:
                continue
            set_key = (flow.candidate_ids, flow.subnet)
            if facts.is_new_allowed(flow):
                self.new_allowed[set_key + (flow.direction,)].append(flow.time)
            if flow.is_denied:
                self.denied[set_key + (flow.direction, flow.vantage, flow.acl.lower(), flow.rule)].append(flow)


def contact_key(flow):
    """Whoever was let in on a port is no stranger there, whatever the subnet."""
    return (flow.direction, flow.protocol, flow.port, flow.peer)


def dependency_findings(groups, facts, tags, mode):
    """Findings of denied flows that have candidates."""
    found = []
    for denied in groups.denied.values():
        whole = Group(denied, groups, facts, tags, mode)
        regulars = whole.no_strangers() if whole.is_unproven() and whole.is_restricted() else []
        for address in regulars:
            mine = [flow for flow in denied if flow.peer == address]
            found.append(Group(mine, groups, facts, tags, mode, address).finding())
        rest = [flow for flow in denied if flow.peer not in regulars]
        if rest:
            found.append(Group(rest, groups, facts, tags, mode).finding())
    return found


class Group:
    """Denied flows of one key. `address`: of the one address that keeps coming."""

    def __init__(self, denied, groups, facts, tags, mode, address=None):
        self.denied, self.groups, self.facts, self.tags, self.mode, self.address = denied, groups, facts, tags, mode, address
        sample = denied[0]
        if address:
            allowed = facts.allowed_to_peers(denied)
        else:
            times = groups.new_allowed[(sample.candidate_ids, sample.subnet, sample.direction)]
            allowed = [Allowed(times, min(flow.time for flow in denied))]
        self.course = Course(denied, allowed, sample.subnet, facts)

    def is_ambiguous(self):
        return all(flow.is_ambiguous for flow in self.denied)

    def is_restricted(self):
        """Some get through while others are turned away, and it is no outage."""
        return self.course.a > 0 and not self.course.is_outage

    def is_turned_away_by_policy(self):
        """All candidates that answered yes are inbound with source Internet, and each flow has one."""
        said_yes = [[row for row in flow.rows if flow.answers[row.id] == YES] for flow in self.denied]
        return all(rows and all(row.direction == 'inbound' and row.tag == 'Internet' for row in rows) for rows in said_yes)

    def is_unproven(self):
        """Inbound, and no candidate answered yes: these may be anyone's."""
        return all(flow.direction == 'inbound' and flow.is_unknown_only for flow in self.denied)

    def is_of_strangers(self):
        return self.is_unproven() and all(
            contact_key(flow) not in self.groups.let_in
            and not (self.tags.file and self.tags.file.lists_anywhere(flow.peer)) for flow in self.denied)

    def no_strangers(self):
        since = self.course.last_denied - DAY
        times = defaultdict(list)
        for flow in self.denied:
            times[flow.peer].append(flow.time)
        regulars = []
        for address, all_times in times.items():
            hours = hours_of(all_times)
            span = (max(hours) - min(hours)) // HOUR + 1
            tuples = sum(hour.tuples for hour in hours.values() if hour.last > since)
            is_regular = len(hours) >= 3 and 2 * len(hours) >= span
            if tuples >= STRANGER_LIMIT and 10 * tuples >= self.course.d and is_regular:
                regulars.append(address)
        return regulars

    def kind(self):
        if self.is_ambiguous():
            return 'ambiguous-dependency'
        is_policy = self.is_turned_away_by_policy() or self.address is None and self.is_of_strangers()
        return 'source-restricted' if is_policy and self.is_restricted() else 'blocked-dependency'

    def finding(self):
        sample, kind = self.denied[0], self.kind()
        finding = Finding(kind, sample.direction, sample.vantage, sample.subnet, sample.acl, sample.rule)
        finding.identity = 'address:%s' % self.address if self.address else None
        finding.row, finding.candidate_rows = sample.primary, sample.rows
        finding.candidates = sorted(sample.candidate_ids)
        finding.requirement = None if kind == 'ambiguous-dependency' else sample.primary.id
        finding.impact = sample.primary.impact
        finding.confidence = best_confidence(self.denied, self.mode)
        finding.take_denied(self.denied)
        finding.is_by_tag = any(flow.is_by_named_tag for flow in self.denied)
        state = state_of(self.groups.newest[(sample.candidate_ids, sample.subnet)], sample.subnet, self.facts)
        finding.take_course(self.course, state, sample.direction == 'outbound' or finding.is_by_tag)
        finding.outside_loaded_tags = sum(self.is_outside_loaded_tags(flow) for flow in self.denied)
        if kind in SEVERITY_CAPS:
            finding.cap(SEVERITY_CAPS[kind])
        return finding


    def is_outside_loaded_tags(self, flow):
        """The primary's name is in the loaded file, and does not list the peer."""
        answer, tag = flow.answers[flow.primary.id], flow.primary.tag
        return answer == UNKNOWN and self.tags.file is not None and tag.lower() in self.tags.file.exact


def best_confidence(flows, mode):
    return max((confidence_of(flow, mode) for flow in flows), key=CONFIDENCE.get)


def confidence_of(flow, mode):
    primary = flow.primary
    is_web = flow.port in (80, 443)
    if flow.answers[primary.id] == YES:
        if is_named(primary.tag) or primary.tag == 'AzureLoadBalancer':
            return 'confirmed'
        if primary.tag in ('VirtualNetwork', '*') and not is_web:
            return 'confirmed'
    if primary.id == 'APIM-IN-CLIENT' and mode[0] == 'external':
        return 'confirmed'
    if primary.id == 'APIM-IN-CLIENT-VNET' and mode[0] == 'internal':
        return 'confirmed'
    return 'likely' if len(flow.rows) == 1 and not is_web else 'possible'


def apply_caps(findings, mode, scope):
    for finding in findings:
        if finding.row and finding.row.is_external_only:
            if mode[0] is None:
                finding.cap('medium')
            elif mode == ('internal', 'likely'):
                finding.cap('low')
        if scope.is_unknown:
            finding.cap('medium')
        rows = finding.candidate_rows
        if finding.verdict == 'share-unknown' and rows and all(row.direction == 'inbound' and row.tag == 'Internet' for row in rows):
            finding.cap('low')


def mark_what_follows_dns(findings):
    """Ongoing outbound findings that began after name resolution was refused, unless an address is in its own tag."""
    for finding in findings:
        refused = [other.first_denied for other in findings if other.subnet == finding.subnet and is_dns(other)]
        finding.follows_dns = (finding.direction == 'outbound' and finding.state == 'ongoing' and not is_dns(finding)
                               and finding.kind != 'source-restricted' and not finding.is_by_tag
                               and any(finding.began > since for since in refused))


def is_dns(finding):
    return (finding.requirement or '').startswith('APIM-OUT-DNS') and finding.kind == 'blocked-dependency' and finding.state == 'ongoing'


def ordered(findings):
    """Score descending, denied tuples descending, id."""
    return sorted(findings, key=lambda finding: (-finding.score, -finding.denied_tuples, finding.fingerprint[:8]))
