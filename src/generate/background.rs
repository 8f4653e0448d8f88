//! Generates ordinary traffic: takes a layout, an interface, a rule and a minute, and returns the minute's tuples
//! ordered by time. Each flow is a hash of its number, so its end can be computed without storing its begin. Knows no
//! formats.

use super::layout::{Group, Layout};
use super::text::{below, hash, mix};

pub const MINUTE_MS: u64 = 60_000;
pub const HOUR_MS: u64 = 60 * MINUTE_MS;

/// One tuple of a log, independent of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    pub time_ms: u64,
    pub source: u32,
    pub destination: u32,
    pub source_port: u16,
    pub port: u16,
    pub is_udp: bool,
    /// Direction as the logging interface sees it.
    pub is_outbound: bool,
    pub state: State,
    /// Packets and bytes sent, packets and bytes received; zeros for begin and denied tuples.
    pub counters: [u64; 4],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Begin,
    Continue,
    End,
    Denied,
}

/// Sequence of states in twenty tuples: nine begin a flow, nine end one, and two continue one.
const STATES: &[u8; 20] = b"BEBEBEBEBCBEBEBEBECE";
const BEGINS: u64 = 9;
/// Number of flows that begin before a flow ends.
const OPEN: u64 = 11;

/// Tuples of one rule in one minute. Times ascend and lie within the minute.
pub struct Background<'a> {
    layout: &'a Layout<'a>,
    group: &'a Group,
    interface: u32,
    muted: &'a [bool],
    /// Seed of the random hashes.
    seed: u64,
    start_ms: u64,
    /// Number of tuples of this rule before this minute.
    before: u64,
    count: u64,
    /// Always <= `count`.
    next: u64,
}

impl<'a> Background<'a> {
    /// Returns the tuples of a minute. `muted` has a flag per stream. Far ends have no background.
    pub fn new(layout: &'a Layout, interface: u32, group: usize, minute: u64, muted: &'a [bool]) -> Self {
        let rule = &layout.groups[group];
        let until = |minute: u64| minute * u64::from(layout.plan.tuples_per_minute) * rule.weight / layout.weight;
        let (before, after) = (until(minute), until(minute + 1));
        Self {
            layout,
            group: rule,
            interface,
            muted,
            seed: hash(&[layout.plan.seed, 1, interface.into(), group as u64]),
            start_ms: layout.plan.start_ms + minute * MINUTE_MS,
            before,
            count: after - before,
            next: 0,
        }
    }

    /// Returns the state of the tuple with this number, and the number of its flow.
    #[inline]
    fn place(&self, number: u64) -> (State, u64) {
        if self.group.is_denied {
            return (State::Denied, number);
        }
        if !self.layout.plan.kind.has_states() {
            return (State::Begin, number);
        }
        let (round, at) = (number / 20, (number % 20) as usize);
        let begun = round * BEGINS + BEGUN[at];
        match STATES[at] {
            b'B' => (State::Begin, begun),
            b'C' => (State::Continue, begun.wrapping_sub(OPEN / 2)),
            _ => (State::End, (round * BEGINS + ENDED[at]).wrapping_sub(OPEN)),
        }
    }

    #[inline]
    fn tuple(&self, nr: u64) -> Option<Tuple> {
        let number = self.before + nr;
        let (state, flow) = self.place(number);
        let bits = mix(self.seed.wrapping_add(flow));
        let stream = self.group.draws[(bits & 0xff) as usize] as usize;
        if self.muted[stream] {
            return None;
        }
        let stream = &self.layout.streams[stream];
        let service = stream.services[below(stream.services.len() as u64, bits >> 32) as usize];
        let peer = self.layout.peer(&stream.peers, self.interface, mix(bits));
        let is_outbound = self.group.is_outbound;
        let own = self.layout.own_address(self.interface, bits);
        let (source, destination) = if is_outbound { (own, peer) } else { (peer, own) };
        let source_port = match is_outbound {
            true => 49_152 + below(16_384, bits >> 8) as u16,
            false => 1_024 + below(64_512, bits >> 8) as u16,
        };
        let chance = mix(self.seed ^ mix(number));
        Some(Tuple {
            time_ms: self.start_ms + (nr * MINUTE_MS + (chance & 0xffff) * MINUTE_MS / 0x1_0000) / self.count,
            source,
            destination,
            source_port,
            port: service.port,
            is_udp: service.is_udp,
            is_outbound,
            state,
            counters: counters(state, chance >> 16),
        })
    }
}

/// Counters of an answered flow.
pub fn counters(state: State, bits: u64) -> [u64; 4] {
    if matches!(state, State::Begin | State::Denied) {
        return [0; 4];
    }
    let (sent, received) = (4 + (bits & 31), 3 + (bits >> 5 & 31));
    [sent, sent * (60 + (bits >> 10 & 511)), received, received * (60 + (bits >> 19 & 1023))]
}

impl Iterator for Background<'_> {
    type Item = Tuple;

    #[inline]
    fn next(&mut self) -> Option<Tuple> {
        while self.next < self.count {
            self.next += 1;
            let tuple = self.tuple(self.next - 1);
            if tuple.is_some() {
                return tuple;
            }
        }
        None
    }
}

/// Returns how often a letter occurs before each index of `STATES`.
const fn before(letter: u8) -> [u64; 20] {
    let mut counts = [0; 20];
    let mut at = 1;
    while at < 20 {
        counts[at] = counts[at - 1] + (STATES[at - 1] == letter) as u64;
        at += 1;
    }
    counts
}

const BEGUN: [u64; 20] = before(b'B');
const ENDED: [u64; 20] = before(b'E');
