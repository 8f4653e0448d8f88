"""The course of a group of denials against its new allowed flows: contract 2.2, from "Let L be" to `reach`."""
from fractions import Fraction

from flows import DAY, HOUR


class Facts:
    """Facts of all logs in scope that single findings refer to."""

    def __init__(self, classified, logs):
        allowed = [flow for flow in classified if not flow.is_denied]
        self.has_allowed = bool(allowed)
        self.has_begin = any(flow.state == 'B' for flow in allowed)
        self.first_flow = min((flow.time for flow in logs.flows), default=None)
        self.last_flow = max((flow.time for flow in logs.flows), default=None)
        self.last_of_subnet = {}
        for flow in classified:
            self.last_of_subnet[flow.subnet] = max(flow.time, self.last_of_subnet.get(flow.subnet, flow.time))

    def is_new_allowed(self, flow):
        """An allowed tuple whose state is begin or null; any where the logs in scope hold no begin."""
        if flow.is_denied or flow.is_platform:
            return False
        return flow.state in ('B', None) or not self.has_begin

    def is_outage(self, new_allowed):
        """For an hour or more, up to the end of the logs, nothing got through though five or more were due."""
        if not new_allowed:
            return False
        last = max(flow.time for flow in new_allowed)
        silence, before = self.last_flow - last, last - self.first_flow
        return silence >= HOUR and len(new_allowed) * silence >= 5 * before


def hour_of(time):
    return time // HOUR * HOUR


def last_day(last_denied):
    """R as (start, end): the 24 whole hours of which the last holds L."""
    end = hour_of(last_denied) + HOUR
    return end - DAY, end


class Course:
    """Times, counts, verdict and state of denied flows, the new allowed flows beside them, and all flows of their set."""

    def __init__(self, denied, new_allowed, set_flows, subnet, facts):
        times = [flow.time for flow in denied]
        self.first_denied, self.last_denied = min(times), max(times)
        start, end = last_day(self.last_denied)
        in_r = [time for time in times if start <= time < end]
        allowed = [flow.time for flow in new_allowed]
        self.d = len(in_r)
        self.a = sum(start <= time < end for time in allowed)
        self.last_allowed_before = max((time for time in allowed if time < self.first_denied), default=None)
        self.first_allowed_after = min((time for time in allowed if time > self.last_denied), default=None)
        self.verdict = self.verdict_of(allowed, min(in_r), facts)
        self.state = 'recovered' if self.verdict == 'recovered' else state_of(set_flows, subnet, facts)

    def verdict_of(self, allowed, first_in_r, facts):
        if not facts.has_allowed:
            return 'share-unknown'
        if any(time >= self.last_denied + HOUR for time in allowed):
            return 'recovered'
        # Counts go by whole hours, but R ends with L.
        if not any(first_in_r < time <= self.last_denied for time in allowed):
            return 'blocked'
        return 'partial'

    def reach(self, is_generous):
        """`is_generous`: outbound, or confirmed through a named tag."""
        if self.verdict in ('blocked', 'share-unknown'):
            return Fraction(1) if self.verdict == 'blocked' else Fraction(1, 2)
        share = Fraction(self.d, self.d + self.a)
        return Fraction(3, 5) + Fraction(2, 5) * share if is_generous else share


def state_of(set_flows, subnet, facts):
    newest = max(flow.time for flow in set_flows)
    return 'quiet' if newest < facts.last_of_subnet[subnet] - DAY else 'ongoing'
