"""The course of a group of denials against its new allowed flows: contract 2.2, from "Let L be" to `reach`."""
from collections import defaultdict
from fractions import Fraction

from flows import DAY, HOUR


class Facts:
    """Facts of all logs in scope that single findings refer to."""

    def __init__(self, classified, logs):
        allowed = [flow for flow in classified if not flow.is_denied]
        self.has_allowed = bool(allowed)
        self.has_begin = any(flow.state == 'B' for flow in allowed)
        self.last_of_subnet = {}
        for flow in classified:
            self.last_of_subnet[flow.subnet] = max(flow.time, self.last_of_subnet.get(flow.subnet, flow.time))
        self.contacts = self.contacts_of(classified)

    def contacts_of(self, classified):
        """{peer key: times} of new allowed flows."""
        found = defaultdict(list)
        for flow in classified:
            if self.is_new_allowed(flow):
                found[peer_key(flow)].append(flow.time)
        return found

    def allowed_to_peers(self, denied):
        """`Allowed`, of each peer that these flows refuse, on the ports and protocols that they refuse."""
        first = {}
        for flow in denied:
            first[peer_key(flow)] = min(flow.time, first.get(peer_key(flow), flow.time))
        return [Allowed(self.contacts[key], before) for key, before in first.items()]

    def is_new_allowed(self, flow):
        """An allowed tuple whose state is begin or null; any where the logs in scope hold no begin."""
        if flow.is_denied or flow.is_platform:
            return False
        return flow.state in ('B', None) or not self.has_begin


def peer_key(flow):
    return (flow.direction, flow.subnet, flow.protocol, flow.port, flow.peer)


def hour_of(time):
    return time // HOUR * HOUR


class Hour:
    """Flows of one hour: how many, first and last."""

    def __init__(self, times):
        self.tuples, self.first, self.last = len(times), min(times), max(times)

    def before(self, time):
        """The last flow before a time that the hour's first and last tell of."""
        return self.last if self.last < time else self.first if self.first < time else None

    def after(self, time):
        return self.first if self.first > time else self.last if self.last > time else None


def hours_of(times):
    """`Hour`s, by their start."""
    grouped = defaultdict(list)
    for time in times:
        grouped[hour_of(time)].append(time)
    return {hour: Hour(times) for hour, times in grouped.items()}


class Allowed:
    """New allowed times that belong together, and the first denial that they may lie before."""

    def __init__(self, times, before):
        self.times, self.first_denied = times, before


class Course:
    """Times, counts and verdict of denied flows, against the new allowed flows beside them. Everything goes by hours."""

    def __init__(self, denied, allowed, subnet, facts):
        """`allowed`: list of `Allowed`."""
        times = [flow.time for flow in denied]
        self.first_denied, self.last_denied = min(times), max(times)
        since = self.last_denied - DAY
        self.denied_hours = hours_of(times).values()
        recent = [hour for hour in self.denied_hours if hour.last > since]
        self.d = sum(hour.tuples for hour in recent)
        first_in_r = min(hour.first if hour.first > since else hour.last for hour in recent)
        self.allowed_hours = hours_of([time for each in allowed for time in each.times]).values()
        up_to_last = [hour for hour in self.allowed_hours if hour.first <= self.last_denied]
        self.a = sum(hour.tuples for hour in up_to_last if hour.last > since)
        is_partly_allowed = first_in_r < self.last_denied and any(hour.last > first_in_r for hour in up_to_last)
        before = [hour.before(each.first_denied) for each in allowed for hour in hours_of(each.times).values()]
        self.last_allowed_before = max(filter(None, before), default=None)
        after = [hour.after(self.last_denied) for hour in self.allowed_hours]
        self.first_allowed_after = min(filter(None, after), default=None)
        self.last_allowed = max((hour.last for hour in self.allowed_hours), default=None)
        if not facts.has_allowed:
            self.verdict = 'share-unknown'
        elif self.last_allowed is not None and self.last_allowed >= self.last_denied + HOUR:
            self.verdict = 'recovered'
        else:
            self.verdict = 'partial' if is_partly_allowed else 'blocked'
        self.is_outage = self.is_outage_until(facts.last_of_subnet[subnet])

    def is_outage_until(self, end):
        """For an hour or more, from the first refusal after the last new allowed flow, nothing got through though five were due."""
        shut = [max(hour.first, self.last_allowed) for hour in self.denied_hours
                if self.last_allowed is not None and hour.last > self.last_allowed]
        if not shut:
            return False
        silence = end - min(shut)
        day = [hour for hour in self.allowed_hours if hour.last > self.last_allowed - DAY]
        span = self.last_allowed - max(min(hour.first for hour in day), self.last_allowed - DAY)
        return silence >= HOUR and sum(hour.tuples for hour in day) * silence >= 5 * max(span, HOUR)

    def reach(self, is_generous):
        """`is_generous`: outbound, or confirmed through a named tag."""
        return reach_of(self.verdict, self.d, self.a, is_generous)


def reach_of(verdict, d, a, is_generous):
    if verdict in ('blocked', 'share-unknown'):
        return Fraction(1) if verdict == 'blocked' else Fraction(1, 2)
    share = Fraction(d, d + a)
    return Fraction(3, 5) + Fraction(2, 5) * share if is_generous else share


def state_of(newest, subnet, facts):
    """`newest`: the last flow of what may be quiet."""
    return 'quiet' if newest <= facts.last_of_subnet[subnet] - DAY else 'ongoing'
