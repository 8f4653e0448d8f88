//! Generates the flows of faults: takes a layout, an interface and an hour, and returns the tuples logged because of
//! the faults. Knows no formats.

use super::background::{HOUR_MS, MINUTE_MS, State, Tuple, counters};
use super::layout::{Layout, Planting, address};
use super::text::{below, hash, mix};
use super::{Fault, FaultKind};

/// A planted tuple.
#[derive(Debug, Clone, Copy)]
pub struct Planted {
    pub fault: usize,
    pub group: usize,
    pub tuple: Tuple,
}

/// Part of an hour in ms in which attempts begin, so that their later tuples are in the same hour.
const WINDOW_MS: u64 = 3_570_000;
/// Delays after which a caller without an answer retries.
const RETRIES_MS: [u64; 4] = [0, 1_000, 3_000, 7_000];

/// Returns all tuples of one hour since the start, ordered by minute, group and time.
pub fn planted(layout: &Layout, interface: usize, hour: u32) -> Vec<Planted> {
    let mut planted = Vec::new();
    let far = layout.interfaces[interface].far;
    for (nr, fault) in layout.plan.faults.iter().enumerate().filter(|(_, fault)| fault.is_active(hour)) {
        let callers = match (fault.kind == FaultKind::FarEnd, far) {
            (true, Some(own)) if own == nr => 0..layout.plan.interfaces,
            (false, None) => interface as u32..interface as u32 + 1,
            _ => continue,
        };
        for caller in callers {
            let attempts = Attempts { layout, nr, fault, planting: &layout.faults[nr], caller, hour };
            (0..u64::from(fault.per_hour)).for_each(|at| attempts.add(at, &mut planted));
        }
    }
    planted.sort_by_key(|planted| (minute(layout, planted), planted.group, planted.tuple.time_ms));
    planted
}

/// Returns the minute since the start of the archive.
pub fn minute(layout: &Layout, planted: &Planted) -> u64 {
    (planted.tuple.time_ms - layout.plan.start_ms) / MINUTE_MS
}

/// Attempts of or to one interface of the instance in an hour.
struct Attempts<'a> {
    layout: &'a Layout<'a>,
    nr: usize,
    fault: &'a Fault,
    planting: &'a Planting,
    caller: u32,
    hour: u32,
}

impl Attempts<'_> {
    /// Adds the attempt with this number in the hour: one or more denials, or a connection.
    fn add(&self, at: u64, out: &mut Vec<Planted>) {
        let plan = self.layout.plan;
        let seed = hash(&[plan.seed, 2, self.nr as u64, self.caller.into(), self.hour.into()]);
        let bits = mix(seed.wrapping_add(at));
        let slot = WINDOW_MS / u64::from(self.fault.per_hour);
        let start = plan.start_ms + u64::from(self.hour) * HOUR_MS;
        let begin = self.tuple(at, bits, start + at * slot + below(slot, bits >> 32));
        if self.is_denied(at) {
            let tries = if begin.is_udp { 1 } else { 1 + (bits as usize & 3) };
            for wait in &RETRIES_MS[..tries] {
                self.push(out, Tuple { time_ms: begin.time_ms + wait, ..begin });
            }
            return;
        }
        let begin = Tuple { state: State::Begin, ..begin };
        self.push(out, begin);
        if plan.kind.has_states() {
            let (lasts, counters) = match self.fault.kind {
                FaultKind::Unanswered => (9_000 + (bits >> 8 & 0xfff), [3, 198, 0, 0]),
                _ => (200 + (bits >> 8 & 0xfff), counters(State::End, bits >> 20)),
            };
            self.push(out, Tuple { time_ms: begin.time_ms + lasts, state: State::End, counters, ..begin });
        }
    }

    /// Returns whether an attempt is denied. Shares are exact, counted from the first attempt of the fault.
    fn is_denied(&self, at: u64) -> bool {
        let (hours, share) = (u64::from(self.hour - self.fault.from_hour), u64::from(self.fault.share));
        let nr = hours * u64::from(self.fault.per_hour) + at;
        match self.fault.kind {
            FaultKind::Partial => (nr + 1) * share / 1000 > nr * share / 1000,
            FaultKind::Unanswered => false,
            _ => true,
        }
    }

    fn tuple(&self, at: u64, bits: u64, time_ms: u64) -> Tuple {
        let planting = self.planting;
        let service = planting.services[below(planting.services.len() as u64, bits >> 16) as usize];
        let own = address(self.caller);
        let is_far = self.fault.kind == FaultKind::FarEnd;
        let peer = match is_far {
            true => planting.far_address,
            false => self.layout.peer(&planting.peers, self.caller, mix(bits)),
        };
        let (source, destination) = if planting.is_outbound { (own, peer) } else { (peer, own) };
        let nr = u64::from(self.hour) * u64::from(self.fault.per_hour) + at;
        let ports = &planting.source_ports;
        Tuple {
            time_ms,
            source,
            destination,
            source_port: ports.start() + (nr % ports.len() as u64) as u16,
            port: service.port,
            is_udp: service.is_udp,
            is_outbound: planting.is_outbound && !is_far,
            state: State::Denied,
            counters: [0; 4],
        }
    }

    fn push(&self, out: &mut Vec<Planted>, tuple: Tuple) {
        let is_denied = tuple.state == State::Denied;
        let group = if is_denied { self.planting.deny_group } else { self.planting.allow_group };
        out.push(Planted { fault: self.nr, group, tuple });
    }
}
