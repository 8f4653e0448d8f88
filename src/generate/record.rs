//! Writes records as Azure does: takes the tuples of one interface, and returns JSON as in real blobs. Knows neither
//! files nor why a tuple exists.

use serde_json::Value;

use super::Kind;
use super::background::{Background, MINUTE_MS, State, Tuple};
use super::layout::{Acl, Interface, Layout};
use super::planted::Planted;
use super::text::{Decimals, Line, calendar, hash};
use crate::time::HOUR;

pub const HEAD: &[u8] = b"{\"records\":[";
pub const TAIL: &[u8] = b"]}";
/// Maximum bytes of an NSG record, after which a new one starts.
const NSG_RECORD_BYTES: usize = 32_230;
/// Upper bounds in bytes for a tuple of NSG logs, and for the opening of a rule with an ordinary name.
const NSG_TUPLE_BYTES: usize = 120;
const NSG_RULE_BYTES: usize = 300;

const SUBSCRIPTION: &str = "b7a41f5e-2c96-4d08-8e37-f0519ac6d2b4";
const WATCHER: &str = "NETWORKWATCHER_WESTEUROPE";
const FLOW_LOG: &str = "FL-APIM-GENERATED";

/// Texts shared by all records.
pub struct Texts {
    /// ACLs of the instance by number, and last the ACL of far ends.
    acls: Vec<String>,
    /// Text from the end of the record's time to the MAC.
    before_mac: String,
    /// Text from the MAC to the flows, by the index of the list.
    after_mac: Vec<String>,
    /// Rule of each group, as JSON.
    rules: Vec<String>,
    decimals: Decimals,
}

impl Texts {
    pub fn new(layout: &Layout) -> Self {
        let kind = layout.plan.kind;
        let network =
            format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-apim-generated/providers/Microsoft.Network");
        let nsg = |name: &str| format!("{network}/networkSecurityGroups/{name}");
        let numbered = |nr: u32| match nr {
            0 => nsg("nsg-apim-generated"),
            nr => nsg(&format!("nsg-apim-generated-{nr}")),
        };
        let own = (0..layout.plan.variety.acls.unwrap_or(1)).map(numbered);
        let mut acls: Vec<String> = own.chain([nsg("nsg-far-end-generated")]).collect();
        if kind != Kind::Vnet4 {
            acls.iter_mut().for_each(|acl| acl.make_ascii_uppercase());
        }
        let rules = layout.groups.iter().map(|group| Value::from(group.rule.as_str()).to_string()).collect();
        let (before_mac, after_mac) = match kind {
            Kind::Vnet4 => {
                let text = vnet_keys(&network);
                (
                    "\",\"flowLogGUID\":\"46e0c9d3-71ba-4f52-9d8c-5a2be7f01634\",\"macAddress\":\"",
                    vec![text; acls.len()],
                )
            }
            Kind::Nsg2 | Kind::Nsg1 => (
                "\",\"systemId\":\"d95c2b07-e1f8-4a63-b40d-8c71f3a9e526\",\"macAddress\":\"",
                acls.iter().map(|acl| nsg_keys(acl, if kind == Kind::Nsg2 { 2 } else { 1 })).collect(),
            ),
        };
        Self { acls, before_mac: before_mac.to_owned(), after_mac, rules, decimals: Decimals::new() }
    }

    /// Returns the ACL as it is logged.
    pub fn acl(&self, interface: &Interface) -> &str {
        &self.acls[self.acl_place(interface)]
    }

    fn acl_place(&self, interface: &Interface) -> usize {
        match interface.acl {
            Acl::Instance => interface.acl_nr as usize,
            Acl::FarEnd => self.acls.len() - 1,
        }
    }

    /// Returns the path of the blob of an interface and an hour since 1970, below the archive's folder.
    pub fn path(&self, kind: Kind, interface: &Interface, hour: u64) -> String {
        let owner = match kind {
            Kind::Vnet4 => format!(
                "insights-logs-flowlogflowevent/flowLogResourceID=/{}_NETWORKWATCHERRG/{WATCHER}_{FLOW_LOG}",
                SUBSCRIPTION.to_ascii_uppercase()
            ),
            Kind::Nsg2 | Kind::Nsg1 => {
                format!("insights-logs-networksecuritygroupflowevent/resourceId={}", self.acl(interface))
            }
        };
        let (year, month, day, hour) = calendar(hour);
        let mac = &interface.mac;
        format!("{owner}/y={year:04}/m={month:02}/d={day:02}/h={hour:02}/m=00/macAddress={mac}/PT1H.json")
    }
}

fn vnet_keys(network: &str) -> String {
    let subscription = SUBSCRIPTION.to_ascii_uppercase();
    format!(
        "\",\"category\":\"FlowLogFlowEvent\",\"flowLogResourceID\":\"/SUBSCRIPTIONS/{subscription}/RESOURCEGROUPS/\
         NETWORKWATCHERRG/PROVIDERS/MICROSOFT.NETWORK/NETWORKWATCHERS/{WATCHER}/FLOWLOGS/{FLOW_LOG}\",\
         \"targetResourceID\":\"{network}/virtualNetworks/vnet-apim-generated\",\"flowLogVersion\":4,\
         \"operationName\":\"FlowLogFlowEvent\",\"flowRecords\":{{\"flows\":["
    )
}

fn nsg_keys(acl: &str, version: u8) -> String {
    format!(
        "\",\"category\":\"NetworkSecurityGroupFlowEvent\",\"resourceId\":\"{acl}\",\
         \"operationName\":\"NetworkSecurityGroupFlowEvents\",\"properties\":{{\"Version\":{version},\"flows\":["
    )
}

/// Writes the records of one interface.
pub struct RecordWriter<'a> {
    pub layout: &'a Layout<'a>,
    pub texts: &'a Texts,
    pub interface: usize,
    pub out: &'a mut Vec<u8>,
    /// Whether a record of this blob was opened before, written or not.
    pub has_records: bool,
    pub tuples: u64,
    /// Start of the open record in `out`.
    record_start: usize,
    /// Group whose tuples are being written; `None` between records.
    open: Option<usize>,
    is_first: bool,
    /// Time of the record, in ms since 1970.
    flush_ms: u64,
}

impl<'a> RecordWriter<'a> {
    pub fn new(layout: &'a Layout, texts: &'a Texts, interface: usize, out: &'a mut Vec<u8>) -> Self {
        Self {
            layout,
            texts,
            interface,
            out,
            has_records: false,
            tuples: 0,
            record_start: 0,
            open: None,
            is_first: true,
            flush_ms: 0,
        }
    }

    /// Appends the record of a minute since the start (NSG: its records), if it has any tuple. `planted` has the
    /// planted tuples of the minute, ordered by group and time.
    pub fn minute(&mut self, minute: u64, mut planted: &[Planted]) {
        let (layout, interface) = (self.layout, self.interface);
        self.flush_ms = layout.plan.start_ms + (minute + 1) * MINUTE_MS + flush_delay(interface as u64, minute);
        let owner = &layout.interfaces[interface];
        let hour = (minute / 60) as u32;
        let muted: Vec<bool> = layout.streams.iter().map(|stream| layout.is_muted(stream, hour)).collect();
        for group in owner.groups.clone() {
            let mine;
            (mine, planted) = planted.split_at(planted.partition_point(|tuple| tuple.group == group));
            let mut mine = mine.iter().map(|planted| planted.tuple).peekable();
            if owner.far.is_none() {
                for tuple in Background::new(layout, interface as u32, group, minute, &muted) {
                    while let Some(earlier) = mine.next_if(|planted| planted.time_ms <= tuple.time_ms) {
                        self.tuple(group, &earlier);
                    }
                    self.tuple(group, &tuple);
                }
            }
            mine.for_each(|tuple| self.tuple(group, &tuple));
        }
        self.close_record();
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn is_vnet(&self) -> bool {
        self.layout.plan.kind == Kind::Vnet4
    }

    fn is_full(&self, without: usize) -> bool {
        !self.is_vnet() && self.out.len() - self.record_start > NSG_RECORD_BYTES - without
    }

    fn open_record(&mut self) {
        if self.has_records {
            self.text(",");
        }
        self.has_records = true;
        self.record_start = self.out.len();
        let flush = self.flush_ms;
        let (year, month, day, hour) = calendar(flush / HOUR as u64);
        let (minute, second) = (flush / 60_000 % 60, flush / 1000 % 60);
        let fraction = flush % 1000 * 10_000 + flush / 61 % 10_000;
        let time =
            format!("{{\"time\":\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:07}Z");
        self.text(&time);
        let texts = self.texts;
        let interface = &self.layout.interfaces[self.interface];
        self.text(&texts.before_mac);
        self.text(&interface.mac);
        self.text(&texts.after_mac[texts.acl_place(interface)]);
    }

    fn close_record(&mut self) {
        if self.open.take().is_some() {
            // Closes every nested list and object, from the tuples to the record.
            self.text("]}]}]}}");
        }
    }

    /// Continues with the tuples of this group, in a new record if none is open or the current one is full.
    fn open_group(&mut self, group: usize) {
        if self.open.is_some() && self.is_full(NSG_RULE_BYTES) {
            self.close_record();
        }
        if self.open.is_none() {
            self.open_record();
        }
        let texts = self.texts;
        let before = self.open.replace(group);
        if self.is_vnet() {
            let direction = |group: usize| self.layout.groups[group].is_outbound;
            let is_same_flow = before.is_some_and(|before| direction(before) == direction(group));
            match before {
                Some(_) if is_same_flow => self.text("]},"),
                Some(_) => self.text("]}]},"),
                None => {}
            }
            if !is_same_flow {
                self.text("{\"aclID\":\"");
                self.text(texts.acl(&self.layout.interfaces[self.interface]));
                self.text("\",\"flowGroups\":[");
            }
            self.text("{\"rule\":");
            self.text(&texts.rules[group]);
            self.text(",\"flowTuples\":[");
        } else {
            if before.is_some() {
                self.text("]}]},");
            }
            self.text("{\"rule\":");
            self.text(&texts.rules[group]);
            self.text(",\"flows\":[{\"mac\":\"");
            let layout = self.layout;
            self.text(&layout.interfaces[self.interface].mac);
            self.text("\",\"flowTuples\":[");
        }
        self.is_first = true;
    }

    #[inline]
    fn tuple(&mut self, group: usize, tuple: &Tuple) {
        if self.open != Some(group) {
            self.open_group(group);
        } else if self.is_full(NSG_TUPLE_BYTES) {
            // The next record repeats the time and the rule.
            self.close_record();
            self.open_group(group);
        }
        let mut line = Line::new(&self.texts.decimals);
        if !self.is_first {
            line.byte(b',');
        }
        self.is_first = false;
        self.tuples += 1;
        write_tuple(&mut line, self.layout.plan.kind, tuple);
        self.out.extend_from_slice(line.text());
    }
}

/// Returns the delay in ms between the end of a minute and its record. It varies, and is at most 7 s.
fn flush_delay(interface: u64, minute: u64) -> u64 {
    2_500 + interface * 731 % 4_000 + hash(&[interface, minute]) % 90
}

#[inline]
fn write_tuple(line: &mut Line, kind: Kind, tuple: &Tuple) {
    let is_vnet = kind == Kind::Vnet4;
    line.byte(b'"');
    line.number(if is_vnet { tuple.time_ms } else { tuple.time_ms / 1000 });
    line.comma_address(tuple.source);
    line.comma_address(tuple.destination);
    line.comma_number(tuple.source_port.into());
    line.comma_number(tuple.port.into());
    line.bytes(match (is_vnet, tuple.is_udp) {
        (true, false) => b",6,",
        (true, true) => b",17,",
        (false, false) => b",T,",
        (false, true) => b",U,",
    });
    line.byte(if tuple.is_outbound { b'O' } else { b'I' });
    match kind {
        Kind::Vnet4 => {
            line.byte(b',');
            line.byte(letter(tuple.state));
            line.bytes(b",NX");
        }
        Kind::Nsg2 if tuple.state == State::Denied => line.bytes(b",D,B"),
        Kind::Nsg2 => {
            line.bytes(b",A,");
            line.byte(letter(tuple.state));
        }
        Kind::Nsg1 => line.bytes(if tuple.state == State::Denied { b",D" } else { b",A" }),
    }
    match (kind, tuple.state) {
        (Kind::Nsg1, _) => {}
        (Kind::Vnet4, State::Begin | State::Denied) => line.bytes(b",0,0,0,0"),
        (Kind::Nsg2, State::Begin | State::Denied) => line.bytes(b",,,,"),
        _ => tuple.counters.iter().for_each(|&counter| line.comma_number(counter)),
    }
    line.byte(b'"');
}

fn letter(state: State) -> u8 {
    match state {
        State::Begin => b'B',
        State::Continue => b'C',
        State::End => b'E',
        State::Denied => b'D',
    }
}
