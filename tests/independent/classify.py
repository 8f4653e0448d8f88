"""From a flow to its candidates: contract 2.1."""
from tags import UNKNOWN, YES, is_named


class Classified:
    """A flow in scope: its direction, vantage, subnet, peer, and the candidates with their answers.

    `seen_ids` are the candidates of flows that the platform lets through, too: a set of which such flows are seen is not quiet.
    """
    __slots__ = ('flow', 'time', 'direction', 'vantage', 'subnet', 'local', 'peer', 'port', 'protocol', 'is_denied', 'state',
                 'sent', 'received', 'acl', 'rule', 'is_platform', 'rows', 'answers', 'candidate_ids', 'seen_ids')

    @property
    def set(self):
        """The candidate set as a key."""
        return self.candidate_ids

    @property
    def primary(self):
        return min(self.rows, key=lambda row: (-float(row.impact), row.id))

    @property
    def is_ambiguous(self):
        """More than one candidate is unknown."""
        return sum(answer == UNKNOWN for answer in self.answers.values()) > 1

    @property
    def requirement(self):
        """Id of the one requirement that the flow counts for, None where it may be several requirements'."""
        return None if self.is_ambiguous or not self.rows else self.primary.id

    @property
    def is_unknown_only(self):
        return all(answer == UNKNOWN for answer in self.answers.values())

    @property
    def is_by_named_tag(self):
        """The primary answered yes through a named tag."""
        return self.answers[self.primary.id] == YES and is_named(self.primary.tag)


def classify(flow, scope, rows, tags, memory):
    """A `Classified`, or None out of scope."""
    source, destination = scope.subnet_of(flow.src), scope.subnet_of(flow.dst)
    if source is None and destination is None:
        return None
    found = Classified()
    found.flow, found.time = flow, flow.time
    if source and destination:
        found.direction, found.vantage = 'internal', 'near'
        found.subnet, found.local, found.peer = destination, flow.dst, flow.dst
    elif source:
        found.direction, found.vantage = 'outbound', 'near' if flow.logged == 'O' else 'far'
        found.subnet, found.local, found.peer = source, flow.src, flow.dst
    else:
        found.direction, found.vantage = 'inbound', 'near' if flow.logged == 'I' else 'far'
        found.subnet, found.local, found.peer = destination, flow.dst, flow.src
    found.port, found.protocol, found.is_denied, found.state = flow.dport, flow.protocol, flow.denied, flow.state
    found.sent, found.received, found.is_platform = flow.sent, flow.received, flow.is_platform
    found.acl, found.rule = flow.acl, flow.rule
    key = (found.direction, found.peer, flow.protocol, flow.dport, flow.sport)
    if key not in memory:
        memory[key] = candidates(found, flow.sport, rows, tags)
    # PlatformRule never counts for a row: no rule of the subnet decided the flow.
    found.seen_ids = tuple(sorted(row.id for row in memory[key][0]))
    found.rows, found.answers = ([], {}) if flow.is_platform else memory[key]
    found.candidate_ids = tuple(sorted(row.id for row in found.rows))
    return found


def candidates(found, source_port, rows, tags):
    """2.1.2 to 2.1.4: (rows, {id: answer})."""
    fitting = [row for row in rows if row.fits(found.direction, found.protocol, found.port, source_port)]
    answers = {row.id: tags.answer(row.tag, found.peer, found.port) for row in fitting}
    specific = [row for row in fitting
                if answers[row.id] == YES and (is_named(row.tag) or row.tag == 'AzureLoadBalancer')]
    if specific:
        kept = specific
    else:
        kept = [row for row in fitting if answers[row.id] in (YES, UNKNOWN)]
        if found.direction == 'inbound' and any(answers[row.id] == YES for row in kept):
            kept = [row for row in kept if answers[row.id] == YES or row.is_required]
    return kept, {row.id: answers[row.id] for row in kept}
