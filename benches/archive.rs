//! Synthetic flow-log archives for benchmarks: takes a folder, a size and a kind, gives blobs in the real layout.
//!
//! Standard library only, so that benchmarks of other engines can compile it alone. The content depends on the
//! arguments and on nothing else. Eight interfaces of 10.20.1.0/24 log about a thousand tuples a minute each, 12 % of
//! them denied; peers and source ports hardly ever repeat except between the begin and the end of one flow.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// VNet flow logs, version 4.
    Vnet4,
    /// NSG flow logs, version 2, records split at about 32 KB.
    Nsg2,
}

const INTERFACES: usize = 8;
const THREADS: usize = 2;
const TUPLES_A_MINUTE: u64 = 1000;
/// 2026-05-04T00:00:00Z.
const START_MS: u64 = 1_777_852_800_000;
const MINUTE_MS: u64 = 60_000;
/// An NSG record is closed before it would pass this many bytes.
const NSG_RECORD_BYTES: usize = 32_230;

const NETWORK: &str =
    "/subscriptions/3d9b62f4-8c07-4e1a-b5d3-71f0a2c6e984/resourceGroups/rg-apim-benchmark/providers/Microsoft.Network";
const NSG_NAME: &str = "/networkSecurityGroups/nsg-apim-bench";
const WATCHER: &str = "NETWORKWATCHER_WESTEUROPE";
const FLOW_LOG_NAME: &str = "FL-APIM-BENCHMARK";

/// Writes an archive of about `bytes` bytes (at least some 25 kB) below `dir` and returns the bytes written. One blob
/// per hour and interface, or everything in one blob when `big_blob`: then the records of all interfaces lie, minute
/// after minute, below the first hour and the first MAC.
pub fn write(dir: &Path, bytes: u64, kind: Kind, big_blob: bool) -> io::Result<u64> {
    let plan = Plan::new(bytes, kind);
    if big_blob { write_one_blob(dir, &plan) } else { write_blobs(dir, &plan) }
}

/// What is written, fixed before the first byte.
struct Plan {
    kind: Kind,
    /// Of every interface.
    minutes: u64,
    /// Of each interface and minute.
    tuples: u64,
    texts: Texts,
}

impl Plan {
    fn new(bytes: u64, kind: Kind) -> Self {
        let texts = Texts::new(kind);
        let mut plan = Plan { kind, minutes: 1, tuples: TUPLES_A_MINUTE, texts };
        let full = plan.minute_bytes();
        if bytes >= full {
            plan.minutes = (bytes + full / 2) / full;
        } else {
            plan.tuples = (TUPLES_A_MINUTE * bytes / full).max(25);
        }
        plan
    }

    /// The size of one minute of all interfaces, measured on a sample.
    fn minute_bytes(&self) -> u64 {
        let mut sample = Vec::new();
        for interface in 0..INTERFACES {
            self.minute(&mut sample, interface, 1);
        }
        sample.len() as u64
    }

    fn hours(&self) -> u64 {
        self.minutes.div_ceil(60)
    }

    /// The minutes that are flushed in an hour.
    fn minutes_of(&self, hour: u64) -> std::ops::Range<u64> {
        hour * 60..self.minutes.min((hour + 1) * 60)
    }

    fn path(&self, dir: &Path, hour: u64, interface: usize) -> PathBuf {
        let (year, month, day, hour) = calendar(START_MS / 3_600_000 + hour);
        let resource = match self.kind {
            Kind::Vnet4 => {
                let subscription = NETWORK[15..51].to_ascii_uppercase();
                format!(
                    "insights-logs-flowlogflowevent/flowLogResourceID=/{subscription}_NETWORKWATCHERRG/{WATCHER}_{FLOW_LOG_NAME}"
                )
            }
            Kind::Nsg2 => {
                let nsg = format!("{NETWORK}{NSG_NAME}").to_ascii_uppercase();
                format!("insights-logs-networksecuritygroupflowevent/resourceId={nsg}")
            }
        };
        let mac = &self.texts.macs[interface];
        dir.join(format!("{resource}/y={year:04}/m={month:02}/d={day:02}/h={hour:02}/m=00/macAddress={mac}/PT1H.json"))
    }

    /// Appends the record (NSG: the records) of one interface and minute, without a comma before or after.
    fn minute(&self, out: &mut Vec<u8>, interface: usize, minute: u64) {
        let flush = START_MS + minute * MINUTE_MS + 5_000 + interface as u64 * 731;
        let mut writer = MinuteWriter {
            out,
            plan: self,
            interface,
            flush,
            record_start: 0,
            random: XorShift::new(minute * INTERFACES as u64 + interface as u64),
            flows: [Flow::default(); OPEN_FLOWS],
        };
        match self.kind {
            Kind::Vnet4 => writer.vnet(),
            Kind::Nsg2 => writer.nsg(),
        }
    }
}

/// Texts that do not change from record to record.
struct Texts {
    macs: [String; INTERFACES],
    /// From the end of the record time to the MAC, from there to the first rule.
    before_mac: String,
    after_mac: String,
    /// Between the outbound and the inbound rules of a v4 record.
    next_acl: String,
    decimals: Decimals,
}

impl Texts {
    fn new(kind: Kind) -> Self {
        let acl = format!("{NETWORK}{NSG_NAME}");
        let network = NETWORK.to_ascii_uppercase();
        let vnet = format!("{NETWORK}/virtualNetworks/vnet-apim-benchmark");
        let (before_mac, after_mac) = match kind {
            Kind::Vnet4 => (
                "\",\"flowLogGUID\":\"5c2e8a17-60d4-4b93-8f1e-d7a3095b4c62\",\"macAddress\":\"".to_owned(),
                format!(
                    "\",\"category\":\"FlowLogFlowEvent\",\"flowLogResourceID\":\"{}/RESOURCEGROUPS/NETWORKWATCHERRG/PROVIDERS\
                     /MICROSOFT.NETWORK/NETWORKWATCHERS/{WATCHER}/FLOWLOGS/{FLOW_LOG_NAME}\",\"targetResourceID\":\"{vnet}\",\
                     \"flowLogVersion\":4,\"operationName\":\"FlowLogFlowEvent\",\"flowRecords\":{{\"flows\":[\
                     {{\"aclID\":\"{acl}\",\"flowGroups\":[",
                    &network[..51]
                ),
            ),
            Kind::Nsg2 => (
                "\",\"systemId\":\"e81f4d06-93ab-4c75-a2e8-06b5d97c1f3a\",\"macAddress\":\"".to_owned(),
                format!(
                    "\",\"category\":\"NetworkSecurityGroupFlowEvent\",\"resourceId\":\"{}\",\
                     \"operationName\":\"NetworkSecurityGroupFlowEvents\",\"properties\":{{\"Version\":2,\"flows\":[",
                    acl.to_ascii_uppercase()
                ),
            ),
        };
        Texts {
            macs: std::array::from_fn(|n| format!("00005E0053{:02X}", 0x40 + n)),
            before_mac,
            after_mac,
            next_acl: format!("]}},{{\"aclID\":\"{acl}\",\"flowGroups\":["),
            decimals: Decimals::new(),
        }
    }
}

// What happens in a minute: the rules in the order they are logged, outbound ones first.

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Outbound,
    Inbound,
}

#[derive(Clone, Copy)]
enum Peer {
    /// Ranges in which Azure has its services, so that a service tag file has something to find.
    Azure,
    /// Anywhere public.
    Internet,
    /// 10.20.0.0/16.
    Network,
    LoadBalancer,
}

#[derive(Clone, Copy)]
enum Ports {
    /// One of these, the first at least half of the time.
    Of(&'static [u16]),
    Random,
}

struct Rule {
    name: &'static str,
    direction: Direction,
    denied: bool,
    /// Of a thousand tuples.
    share: u64,
    peer: Peer,
    ports: Ports,
    udp: bool,
}

const fn rule(name: &'static str, direction: Direction, share: u64, peer: Peer, ports: &'static [u16]) -> Rule {
    Rule { name, direction, denied: false, share, peer, ports: Ports::Of(ports), udp: false }
}

const RULES: [Rule; 8] = [
    rule("UserRule_allow-azure-services-out", Direction::Outbound, 380, Peer::Azure, &[443, 1433, 5671]),
    rule("DefaultRule_AllowInternetOutBound", Direction::Outbound, 120, Peer::Internet, &[443, 80]),
    Rule { udp: true, ..rule("DefaultRule_AllowVnetOutBound", Direction::Outbound, 60, Peer::Network, &[53, 4290]) },
    Rule { denied: true, ..rule("UserRule_deny-all-outbound", Direction::Outbound, 30, Peer::Azure, &[1433, 443]) },
    rule("UserRule_allow-https-in", Direction::Inbound, 280, Peer::Internet, &[443]),
    rule("UserRule_allow-lb-probe-in", Direction::Inbound, 40, Peer::LoadBalancer, &[6390]),
    Rule { denied: true, ..rule("UserRule_block-list", Direction::Inbound, 30, Peer::Internet, &[443, 3443]) },
    Rule {
        denied: true,
        ports: Ports::Random,
        ..rule("DefaultRule_DenyAllInBound", Direction::Inbound, 60, Peer::Internet, &[])
    },
];

/// Flows of a rule that have begun and not yet ended.
const OPEN_FLOWS: usize = 16;

#[derive(Clone, Copy, Default)]
struct Flow {
    peer: [u8; 4],
    peer_port: u16,
    port: u16,
}

struct MinuteWriter<'a> {
    out: &'a mut Vec<u8>,
    plan: &'a Plan,
    interface: usize,
    flush: u64,
    /// Where the open record starts in `out`.
    record_start: usize,
    random: XorShift,
    flows: [Flow; OPEN_FLOWS],
}

impl MinuteWriter<'_> {
    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn mac(&mut self) {
        let plan = self.plan;
        self.text(&plan.texts.macs[self.interface]);
    }

    fn record_bytes(&self) -> usize {
        self.out.len() - self.record_start
    }

    fn open_record(&mut self) {
        let plan = self.plan;
        self.record_start = self.out.len();
        let (year, month, day, hour) = calendar(self.flush / 3_600_000);
        let (minute, second) = (self.flush / 60_000 % 60, self.flush / 1000 % 60);
        let fraction = self.flush % 1000 * 10_000 + self.flush / 61 % 10_000;
        let time =
            format!("{{\"time\":\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:07}Z");
        self.text(&time);
        self.text(&plan.texts.before_mac);
        self.mac();
        self.text(&plan.texts.after_mac);
    }

    fn vnet(&mut self) {
        let plan = self.plan;
        self.open_record();
        let mut direction = Direction::Outbound;
        for (n, rule) in RULES.iter().enumerate() {
            if rule.direction != direction {
                direction = rule.direction;
                self.text(&plan.texts.next_acl);
            } else if n > 0 {
                self.text(",");
            }
            self.text("{\"rule\":\"");
            self.text(rule.name);
            self.text("\",\"flowTuples\":[");
            self.tuples(rule);
            self.text("]}");
        }
        self.text("]}]}}");
    }

    fn nsg(&mut self) {
        self.open_record();
        for (n, rule) in RULES.iter().enumerate() {
            if self.record_bytes() > NSG_RECORD_BYTES - 300 {
                self.text("]}},");
                self.open_record();
            } else if n > 0 {
                self.text(",");
            }
            self.open_nsg_rule(rule);
            self.tuples(rule);
            self.text("]}]}");
        }
        self.text("]}}");
    }

    fn open_nsg_rule(&mut self, rule: &Rule) {
        self.text("{\"rule\":\"");
        self.text(rule.name);
        self.text("\",\"flows\":[{\"mac\":\"");
        self.mac();
        self.text("\",\"flowTuples\":[");
    }

    /// Closes the record and goes on in the next one, which repeats the time and the rule.
    fn split_nsg_record(&mut self, rule: &Rule) {
        self.text("]}]}]}},");
        self.open_record();
        self.open_nsg_rule(rule);
    }

    /// The tuples of one rule, oldest first, from a minute before the flush to a little before it.
    fn tuples(&mut self, rule: &Rule) {
        let count = (rule.share * self.plan.tuples).div_ceil(1000);
        let step = (MINUTE_MS - 4_000) * 1000 / count;
        let first = self.flush - MINUTE_MS;
        for n in 0..OPEN_FLOWS {
            self.flows[n] = self.fresh(rule);
        }
        let mut first_in_list = true;
        for n in 0..count {
            if self.plan.kind == Kind::Nsg2 && self.record_bytes() > NSG_RECORD_BYTES - 120 {
                self.split_nsg_record(rule);
                first_in_list = true;
            }
            if !first_in_list {
                self.out.push(b',');
            }
            first_in_list = false;
            self.tuple(rule, n, first + n * step / 1000);
        }
    }

    fn fresh(&mut self, rule: &Rule) -> Flow {
        let bits = self.random.next();
        let low = bits as u32;
        let octets = low.to_be_bytes();
        let peer = match rule.peer {
            Peer::Azure => [[13, 20, 40, 52][(bits >> 32 & 3) as usize], octets[1], octets[2], octets[3]],
            // 24 to 87: neither private nor reserved.
            Peer::Internet => [24 + (octets[0] & 63), octets[1], octets[2], octets[3]],
            Peer::Network => [10, 20, octets[2], octets[3]],
            Peer::LoadBalancer => [168, 63, 129, 16],
        };
        let port = match rule.ports {
            Ports::Of([only]) => *only,
            Ports::Of(ports) => {
                let draw = (bits >> 34 & 7) as usize;
                ports[if draw < 4 { 0 } else { draw % ports.len() }]
            }
            Ports::Random => 7_000 + (bits >> 34 & 0x7fff) as u16,
        };
        Flow { peer, peer_port: 20_000 + (((bits >> 48) * 45_000) >> 16) as u16, port }
    }

    fn tuple(&mut self, rule: &Rule, n: u64, time_ms: u64) {
        // Nine begins, two continuing, nine ends in twenty; the ends are of earlier begins.
        let state = if rule.denied { b'D' } else { b"BEBEBEBEBCBEBEBEBECE"[(n % 20) as usize] };
        let flow = match state {
            b'B' | b'D' => {
                let flow = self.fresh(rule);
                self.flows[n as usize / 2 % OPEN_FLOWS] = flow;
                flow
            }
            _ => self.flows[(n as usize / 2 + 5) % OPEN_FLOWS],
        };
        let bits = self.random.next();
        let v4 = self.plan.kind == Kind::Vnet4;
        let out = &mut *self.out;
        let decimals = &self.plan.texts.decimals;
        // A tuple is at most 120 bytes.
        let start = out.len();
        out.resize(start + 128, 0);
        let mut line = Line { buffer: &mut out[start..], length: 0, decimals };
        line.byte(b'"');
        line.number(if v4 { time_ms } else { time_ms / 1000 });
        let local = [10, 20, 1, 4 + self.interface as u8];
        let outbound = rule.direction == Direction::Outbound;
        let (source, destination) = if outbound { (local, flow.peer) } else { (flow.peer, local) };
        line.comma_address(source);
        line.comma_address(destination);
        line.comma_number(flow.peer_port.into());
        line.comma_number(flow.port.into());
        line.bytes(match (v4, rule.udp) {
            (true, false) => b",6,",
            (true, true) => b",17,",
            (false, false) => b",T,",
            (false, true) => b",U,",
        });
        line.byte(if outbound { b'O' } else { b'I' });
        line.byte(b',');
        if v4 {
            line.byte(state);
            line.bytes(b",NX");
        } else if state == b'D' {
            line.bytes(b"D,B");
        } else {
            line.bytes(b"A,");
            line.byte(state);
        }
        if matches!(state, b'B' | b'D') {
            line.bytes(if v4 { b",0,0,0,0" } else { b",,,," });
        } else {
            let sent = 4 + (bits & 31);
            let received = 3 + (bits >> 5 & 31);
            line.comma_number(sent);
            line.comma_number(sent * (60 + (bits >> 10 & 511)));
            line.comma_number(received);
            line.comma_number(received * (60 + (bits >> 19 & 1023)));
        }
        line.byte(b'"');
        let length = line.length;
        out.truncate(start + length);
    }
}

/// One tuple under construction.
struct Line<'a> {
    buffer: &'a mut [u8],
    /// Always at most the length of `buffer`.
    length: usize,
    decimals: &'a Decimals,
}

impl Line<'_> {
    #[inline]
    fn byte(&mut self, byte: u8) {
        self.buffer[self.length] = byte;
        self.length += 1;
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.buffer[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    /// Writes four bytes and keeps those that count.
    #[inline]
    fn padded(&mut self, text: [u8; 4], length: u8) {
        self.buffer[self.length..self.length + 4].copy_from_slice(&text);
        self.length += usize::from(length);
    }

    #[inline]
    fn number(&mut self, number: u64) {
        if number < 10_000 {
            let (text, length) = self.decimals.short[number as usize];
            self.padded(text, length);
        } else {
            self.number(number / 10_000);
            let text = self.decimals.full[(number % 10_000) as usize];
            self.padded(text, 4);
        }
    }

    #[inline]
    fn comma_number(&mut self, number: u64) {
        self.byte(b',');
        self.number(number);
    }

    #[inline]
    fn comma_address(&mut self, address: [u8; 4]) {
        for (n, octet) in address.into_iter().enumerate() {
            self.byte(if n == 0 { b',' } else { b'.' });
            let (text, length) = self.decimals.short[usize::from(octet)];
            self.padded(text, length);
        }
    }
}

/// The numbers below 10,000 as text: left-aligned with their length, and with leading zeros.
struct Decimals {
    short: Vec<([u8; 4], u8)>,
    full: Vec<[u8; 4]>,
}

impl Decimals {
    fn new() -> Self {
        let full: Vec<[u8; 4]> = (0..10_000_u32)
            .map(|n| [n / 1000, n / 100 % 10, n / 10 % 10, n % 10].map(|digit| b'0' + digit as u8))
            .collect();
        let short = full
            .iter()
            .map(|digits| {
                let zeros = digits.iter().take(3).take_while(|digit| **digit == b'0').count();
                let mut text = *digits;
                text.rotate_left(zeros);
                (text, 4 - zeros as u8)
            })
            .collect();
        Decimals { short, full }
    }
}

struct XorShift(u64);

impl XorShift {
    fn new(seed: u64) -> Self {
        let mut random = XorShift((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        random.next();
        random
    }

    /// xorshift64*: the high bits are good, so the low 32 are taken from the middle of the product.
    #[inline]
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).swap_bytes()
    }
}

/// Year, month, day and hour of the day of an hour since 1970 (the algorithm of Howard Hinnant).
fn calendar(hours: u64) -> (u64, u64, u64, u64) {
    let days = hours / 24 + 719_468;
    let era_day = days % 146_097;
    let era_year = (era_day - era_day / 1460 + era_day / 36_524 - era_day / 146_096) / 365;
    let year_day = era_day - (365 * era_year + era_year / 4 - era_year / 100);
    let month_index = (5 * year_day + 2) / 153;
    let day = year_day - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = days / 146_097 * 400 + era_year + u64::from(month <= 2);
    (year, month, day, hours % 24)
}

const HEAD: &[u8] = b"{\"records\":[";
const TAIL: &[u8] = b"]}";

fn create(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    File::create(path)
}

/// Threads take one blob after the other.
fn write_blobs(dir: &Path, plan: &Plan) -> io::Result<u64> {
    let blobs = plan.hours() as usize * INTERFACES;
    let next = AtomicUsize::new(0);
    let work = || -> io::Result<u64> {
        let mut buffer = Vec::with_capacity(2 << 20);
        let mut total = 0;
        loop {
            let blob = next.fetch_add(1, Ordering::Relaxed);
            if blob >= blobs {
                return Ok(total);
            }
            let (hour, interface) = ((blob / INTERFACES) as u64, blob % INTERFACES);
            let mut file = create(&plan.path(dir, hour, interface))?;
            buffer.extend_from_slice(HEAD);
            for minute in plan.minutes_of(hour) {
                if minute % 60 > 0 {
                    buffer.push(b',');
                }
                plan.minute(&mut buffer, interface, minute);
                if buffer.len() > 1 << 20 {
                    total += flush(&mut file, &mut buffer)?;
                }
            }
            buffer.extend_from_slice(TAIL);
            total += flush(&mut file, &mut buffer)?;
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a writer panicked")).sum()
    })
}

/// Threads make minutes in turn; this one writes them in order.
fn write_one_blob(dir: &Path, plan: &Plan) -> io::Result<u64> {
    let mut file = create(&plan.path(dir, 0, 0))?;
    file.write_all(HEAD)?;
    let mut total = (HEAD.len() + TAIL.len()) as u64;
    thread::scope(|scope| -> io::Result<()> {
        let mut lanes = Vec::new();
        for lane in 0..THREADS as u64 {
            let (full, filled) = sync_channel::<Vec<u8>>(1);
            let (empty, emptied) = sync_channel::<Vec<u8>>(2);
            scope.spawn(move || {
                for minute in (lane..plan.minutes).step_by(THREADS) {
                    let mut buffer = emptied.try_recv().unwrap_or_default();
                    for interface in 0..INTERFACES {
                        if minute > 0 || interface > 0 {
                            buffer.push(b',');
                        }
                        plan.minute(&mut buffer, interface, minute);
                    }
                    // The receiver is gone when writing failed.
                    if full.send(buffer).is_err() {
                        return;
                    }
                }
            });
            lanes.push((filled, empty));
        }
        for minute in 0..plan.minutes as usize {
            let (filled, empty) = &lanes[minute % THREADS];
            let mut buffer = filled.recv().expect("a writer panicked");
            total += flush(&mut file, &mut buffer)?;
            // A full or closed channel only means that nobody needs the buffer again.
            drop(empty.try_send(buffer));
        }
        Ok(())
    })?;
    file.write_all(TAIL)?;
    Ok(total)
}

/// Writes the buffer out and empties it.
fn flush(file: &mut File, buffer: &mut Vec<u8>) -> io::Result<u64> {
    file.write_all(buffer)?;
    let written = buffer.len() as u64;
    buffer.clear();
    Ok(written)
}
