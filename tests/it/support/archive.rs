//! Small archives with planted truth, laid out as Azure writes them.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// 2026-05-04T00:00:00Z in ms since 1970: times of an archive count from here.
pub const BASE: i64 = 1_777_852_800_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// How long an allowed connection lasts.
const LASTING: i64 = 5_000;
const SUBSCRIPTION: &str = "5e1f0a6c-2b7d-4c39-9a84-d30b6e7715f2";

pub const ACL: &str = "/subscriptions/5e1f0a6c-2b7d-4c39-9a84-d30b6e7715f2/resourceGroups/rg-apim-example/providers/\
    Microsoft.Network/networkSecurityGroups/nsg-apim-example";
pub const PLATFORM_ACL: &str = "00000000-0000-0000-0000-000000000000";

pub const fn hours(n: i64) -> i64 {
    n * HOUR
}

pub const fn minutes(n: i64) -> i64 {
    n * MINUTE
}

pub const fn seconds(n: i64) -> i64 {
    n * 1000
}

/// A time of the archive as the JSON report writes it.
pub fn at(time: i64) -> String {
    let (date, ms) = (civil(time), (BASE + time).rem_euclid(24 * HOUR));
    let (hour, minute, second) = (ms / HOUR, ms / MINUTE % 60, ms / 1000 % 60);
    let (year, month, day) = date;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
}

/// Year, month and day in the Gregorian calendar, whose 400 years have 146,097 days.
fn civil(time: i64) -> (i64, i64, i64) {
    let days = (BASE + time).div_euclid(24 * HOUR) + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

/// One line of a flow log, from any version of it.
#[derive(Debug, Clone)]
pub struct Tuple {
    /// ms since the start of the archive.
    time: i64,
    src: String,
    dst: String,
    src_port: u16,
    dst_port: u16,
    is_udp: bool,
    /// As logged: `O` by the source, `I` by the destination.
    direction: char,
    /// `B`, `C`, `E` or `D`.
    state: char,
    encryption: &'static str,
    sent: u64,
    received: u64,
    rule: String,
    acl: String,
    /// Address of the interface that logs it, where that is not the local end.
    interface: Option<String>,
    /// Time of its record, where that is not the minute after its own.
    record: Option<i64>,
}

/// A TCP flow from the instance, logged by the instance.
pub fn outbound(time: i64, src: &str, dst: &str, dst_port: u16) -> Tuple {
    // Ports of callers go round; connections at the same time have the same one, which is no matter to other peers.
    let src_port = 49_152 + ((BASE + time) / 1000 % 16_000) as u16;
    Tuple {
        time,
        src: src.to_owned(),
        dst: dst.to_owned(),
        src_port,
        dst_port,
        is_udp: false,
        direction: 'O',
        state: 'B',
        encryption: "NX",
        sent: 0,
        received: 0,
        rule: "UserRule_allow-apim-out".to_owned(),
        acl: ACL.to_owned(),
        interface: None,
        record: None,
    }
}

/// A TCP flow to the instance, logged by the instance.
pub fn inbound(time: i64, src: &str, dst: &str, dst_port: u16) -> Tuple {
    Tuple { direction: 'I', ..outbound(time, src, dst, dst_port) }.rule("UserRule_allow-apim-in")
}

impl Tuple {
    pub fn udp(self) -> Self {
        Self { is_udp: true, ..self }
    }

    pub fn leaving(self, src_port: u16) -> Self {
        Self { src_port, ..self }
    }

    pub fn rule(self, rule: &str) -> Self {
        Self { rule: rule.to_owned(), ..self }
    }

    pub fn acl(self, acl: &str) -> Self {
        Self { acl: acl.to_owned(), ..self }
    }

    pub fn encryption(self, encryption: &'static str) -> Self {
        Self { encryption, ..self }
    }

    /// Logged by the interface that has `ip`, as a second address of it is.
    pub fn on_interface_of(self, ip: &str) -> Self {
        Self { interface: Some(ip.to_owned()), ..self }
    }

    /// Written into a record of this time, whatever the time of the tuple says.
    pub fn in_record_of(self, time: i64) -> Self {
        Self { record: Some(time), ..self }
    }

    /// Logged by the interface at the other end.
    pub fn far(self) -> Self {
        let direction = if self.direction == 'O' { 'I' } else { 'O' };
        Self { direction, ..self }
    }

    /// Each interface has its own, made from its address.
    fn mac(&self) -> String {
        let logged_by = if self.direction == 'O' { &self.src } else { &self.dst };
        let ip = self.interface.as_ref().unwrap_or(logged_by);
        let hash = ip.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        format!("000D3A{:06X}", hash & 0x00ff_ffff)
    }

    /// Start of the minute in which it is written, the one after its own.
    fn flush(&self) -> i64 {
        self.record.unwrap_or((self.time.div_euclid(MINUTE) + 1) * MINUTE)
    }

    fn v4(&self) -> String {
        let Self { src, dst, src_port, dst_port, direction, state, encryption, sent, received, .. } = self;
        let protocol = if self.is_udp { 17 } else { 6 };
        let (bytes_sent, bytes_received) = (sent * 120, received * 400);
        format!(
            "{},{src},{dst},{src_port},{dst_port},{protocol},{direction},{state},{encryption},\
             {sent},{bytes_sent},{received},{bytes_received}",
            BASE + self.time
        )
    }

    fn v2(&self) -> String {
        let Self { src, dst, src_port, dst_port, direction, sent, received, .. } = self;
        let protocol = if self.is_udp { 'U' } else { 'T' };
        let rest = match self.state {
            'D' => "D,B,,,,".to_owned(),
            'B' => "A,B,,,,".to_owned(),
            state => format!("A,{state},{sent},{},{received},{}", sent * 120, received * 400),
        };
        format!("{},{src},{dst},{src_port},{dst_port},{protocol},{direction},{rest}", (BASE + self.time) / 1000)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Vnet4,
    Nsg2,
}

/// Everything that the interfaces of an archive log, in any order.
#[derive(Debug, Clone)]
pub struct Log {
    format: Format,
    /// Of the network watcher, as paths write it.
    region: &'static str,
    tuples: Vec<Tuple>,
}

/// ACL, then rule.
type Rules<'a> = BTreeMap<(&'a str, &'a str), Vec<&'a Tuple>>;

impl Log {
    pub fn vnet() -> Self {
        Self { format: Format::Vnet4, region: "WESTEUROPE", tuples: Vec::new() }
    }

    pub fn nsg() -> Self {
        Self { format: Format::Nsg2, ..Self::vnet() }
    }

    /// The same flows, logged by the NSGs.
    pub fn as_nsg(&self) -> Self {
        Self { format: Format::Nsg2, ..self.clone() }
    }

    pub fn in_region(self, region: &'static str) -> Self {
        Self { region, ..self }
    }

    /// As a collector leaves it that drops every `state`.
    pub fn without(mut self, state: char) -> Self {
        self.tuples.retain(|tuple| tuple.state != state);
        self
    }

    /// A connection that was let through and answered: its begin and its end.
    pub fn allowed(&mut self, flow: Tuple) {
        self.connection(flow, 12, 18);
    }

    /// A connection that was let through, and nobody answered.
    pub fn unanswered(&mut self, flow: Tuple) {
        self.connection(flow, 3, 0);
    }

    pub fn denied(&mut self, flow: Tuple, rule: &str) {
        self.tuples.push(Tuple { state: 'D', ..flow.rule(rule) });
    }

    /// The begin of a connection whose end was not logged.
    pub fn begun(&mut self, flow: Tuple) {
        self.tuples.push(flow);
    }

    /// A connection that was let through, with this many packets each way.
    pub fn connection(&mut self, flow: Tuple, sent: u64, received: u64) {
        let end = Tuple { time: flow.time + LASTING, state: 'E', sent, received, ..flow.clone() };
        self.tuples.extend([flow, end]);
    }

    /// Path and text of each blob: one per flush hour and interface, and per NSG in its logs.
    fn blobs(&self) -> BTreeMap<String, String> {
        let mut blobs: BTreeMap<String, BTreeMap<i64, Rules>> = BTreeMap::new();
        for tuple in &self.tuples {
            let records = blobs.entry(self.path(tuple)).or_default();
            let rules = records.entry(tuple.flush()).or_default();
            rules.entry((tuple.acl.as_str(), tuple.rule.as_str())).or_default().push(tuple);
        }
        let text = |records: BTreeMap<i64, Rules>| {
            let records: Vec<String> = records.into_iter().map(|(flush, rules)| self.record(flush, rules)).collect();
            format!("{{\"records\":[{}]}}", records.join(","))
        };
        blobs.into_iter().map(|(path, records)| (path, text(records))).collect()
    }

    fn path(&self, tuple: &Tuple) -> String {
        let owner = match self.format {
            Format::Vnet4 => format!(
                "insights-logs-flowlogflowevent/flowLogResourceID=/{}_NETWORKWATCHERRG/NETWORKWATCHER_{}_FL-APIM-EXAMPLE",
                SUBSCRIPTION.to_uppercase(),
                self.region
            ),
            Format::Nsg2 => {
                format!("insights-logs-networksecuritygroupflowevent/resourceId={}", tuple.acl.to_uppercase())
            }
        };
        let ((year, month, day), hour) = (civil(tuple.flush()), (BASE + tuple.flush()).rem_euclid(24 * HOUR) / HOUR);
        let mac = tuple.mac();
        format!("{owner}/y={year:04}/m={month:02}/d={day:02}/h={hour:02}/m=00/macAddress={mac}/PT1H.json")
    }

    /// `rules` are those of one interface, and not empty; in NSG logs of one NSG too.
    fn record(&self, flush: i64, mut rules: Rules) -> String {
        rules.values_mut().for_each(|tuples| tuples.sort_by_key(|tuple| tuple.time));
        let first = rules.values().flatten().next().expect("a tuple");
        let time = at(flush).replace('Z', "0000Z");
        let (mac, upper_acl) = (first.mac(), first.acl.to_uppercase());
        let lines = |tuples: &[&Tuple]| {
            let line = |tuple: &&Tuple| match self.format {
                Format::Vnet4 => format!("\"{}\"", tuple.v4()),
                Format::Nsg2 => format!("\"{}\"", tuple.v2()),
            };
            tuples.iter().map(line).collect::<Vec<_>>().join(",")
        };
        match self.format {
            Format::Vnet4 => {
                let mut acls: BTreeMap<&str, Vec<String>> = BTreeMap::new();
                for ((acl, rule), tuples) in &rules {
                    let group = format!("{{\"rule\":\"{rule}\",\"flowTuples\":[{}]}}", lines(tuples));
                    acls.entry(acl).or_default().push(group);
                }
                let flow = |(acl, groups): (&str, Vec<String>)| {
                    format!("{{\"aclID\":\"{acl}\",\"flowGroups\":[{}]}}", groups.join(","))
                };
                let flows: Vec<String> = acls.into_iter().map(flow).collect();
                let flow_log = format!(
                    "/subscriptions/{SUBSCRIPTION}/resourceGroups/NetworkWatcherRG/providers/Microsoft.Network/\
                     networkWatchers/NetworkWatcher_westeurope/flowLogs/fl-apim-example"
                )
                .to_uppercase();
                format!(
                    "{{\"time\":\"{time}\",\"flowLogGUID\":\"90d2c7be-1f35-4a68-b1c6-4e7a08f95d23\",\
                     \"macAddress\":\"{mac}\",\"category\":\"FlowLogFlowEvent\",\"flowLogResourceID\":\"{flow_log}\",\
                     \"targetResourceID\":\"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-apim-example/providers/\
                     Microsoft.Network/virtualNetworks/vnet-apim-example\",\"flowLogVersion\":4,\
                     \"operationName\":\"FlowLogFlowEvent\",\"flowRecords\":{{\"flows\":[{}]}}}}",
                    flows.join(",")
                )
            }
            Format::Nsg2 => {
                let flow = |((_, rule), tuples): (&(&str, &str), &Vec<&Tuple>)| {
                    let lines = lines(tuples);
                    format!("{{\"rule\":\"{rule}\",\"flows\":[{{\"mac\":\"{mac}\",\"flowTuples\":[{lines}]}}]}}")
                };
                let flows: Vec<String> = rules.iter().map(flow).collect();
                format!(
                    "{{\"time\":\"{time}\",\"systemId\":\"c3a86f04-7d51-4be9-a2f7-0b96d8e143ca\",\
                     \"macAddress\":\"{mac}\",\"category\":\"NetworkSecurityGroupFlowEvent\",\
                     \"resourceId\":\"{upper_acl}\",\"operationName\":\"NetworkSecurityGroupFlowEvents\",\
                     \"properties\":{{\"Version\":2,\"flows\":[{}]}}}}",
                    flows.join(",")
                )
            }
        }
    }

    pub fn write(&self) -> TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        self.blobs().iter().for_each(|(path, text)| place(folder.path(), path, text));
        folder
    }

    /// Each blob packed with gzip.
    pub fn write_packed(&self) -> TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in self.blobs() {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(text.as_bytes()).expect("memory");
            place(folder.path(), &format!("{path}.gz"), packer.finish().expect("memory"));
        }
        folder
    }

    /// Every other blob in another folder.
    pub fn write_in_two(&self) -> [TempDir; 2] {
        let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        for (nr, (path, text)) in self.blobs().iter().enumerate() {
            place(folders[nr % 2].path(), path, text);
        }
        folders
    }
}

pub fn place(folder: &Path, path: &str, text: impl AsRef<[u8]>) {
    // `resourceId=` is a folder of its own: what follows it begins with a slash.
    let file = folder.join(path);
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("folders");
    std::fs::write(file, text).expect("a blob");
}

/// Adds the flow logs in and below a folder, in order of their paths.
pub fn json_files(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|e| e.expect("entry").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            json_files(&path, files);
        } else if path.extension().is_some_and(|e| e == "json" || e == "ndjson") {
            files.push(path);
        }
    }
}
