//! The reference decoder: a reference decoder of Azure flow logs that the tests compare the real one with.
//!
//! It shares no code with the project. It holds the whole text as a tree of [`Json`], walks it
//! with the plainest code that states the rules, and wants text that is whole and well formed: on
//! anything `serde_json` refuses it panics. Keys count in any case; of one given twice it sees the
//! last. The rules:
//!
//! - **Text.** UTF-16 with a byte-order mark, or UTF-8 with or without one: JSON values one after
//!   another. An array holds values of the same sort; an object with a `records` array or object is a
//!   wrapper around it, at any level; whatever else stands there is a record.
//! - **Record.** `flowRecords` makes it `vnet`, version `flowLogVersion`, 4 when absent, nothing but
//!   4. Otherwise `properties` makes it `nsg`, version `properties.Version`, 2 when absent, 1 or 2. A
//!   version is an integer. Anything else is a bad record, and nothing in it counts.
//! - **Scope.** From `flowRecords` or `properties` down, an object may hold `rule`, `aclID`, `mac`
//!   and the lists `flows`, `flowGroups` (of such objects) and `flowTuples`, visited in that order.
//!   The innermost text wins. A name of another type is as good as absent. One object stands for a
//!   list of one, and so does one text for a list of tuples; `flowRecords` and `properties` may be
//!   lists, too.
//! - **Unread.** Another value in the place of a list, or of an object in one, is unread, and so is an
//!   object without any list. A record without any list is bad. If it has one, each unread part
//!   counts as a bad record, and the rest of the record is read.
//! - **Foreign.** A record without `flowRecords` and without any list is of another log if it has a
//!   `metricName`, or a `category` that does not end in `FlowEvent` or `FlowEvents`.
//! - **Interfaces.** Where some are chosen, a record of another `macAddress` is passed over. Without
//!   `macAddress`, a `mac` in it decides.
//! - **Other files.** Where nothing was read or passed over, and all that is bad has neither a body nor
//!   a word of flow logs, all of it counts as one.
//! - **Tuple.** Column 5 decides the layout, a letter or a number. Whether its text is well formed
//!   does not depend on the record around it. See [`row`].
//! - **Time.** A tuple whose time is before 2015-01-01 or after 2100-01-01 is malformed, and so is one
//!   more than 90 days from its record's `time` where that stands before `flowRecords` or `properties`,
//!   else from the hour of the blob's path, where there is one.

use std::fmt;
use std::net::IpAddr;

use serde::de::{Deserialize, MapAccess, SeqAccess, Visitor};
use serde_json::Deserializer;

/// Column 0 below this is in seconds, from here on in milliseconds.
const FIRST_MILLISECONDS: i64 = 100_000_000_000;
const DAY: i64 = 86_400_000;
/// Days from 1970 to 2015 and to 2100.
const DAYS_TO_2015: i64 = 45 * 365 + 11;
const DAYS_TO_2100: i64 = 130 * 365 + 32;

/// One flow tuple and what it inherits from its scopes and its record. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub time: i64,
    pub src_ip: String,
    pub dst_ip: String,
    pub src_port: u16,
    pub dst_port: u16,
    pub protocol: String,
    /// `inbound` or `outbound`
    pub direction: String,
    /// `allow` or `deny`
    pub decision: String,
    /// `begin`, `continue` or `end`
    pub state: Option<String>,
    pub encryption: Option<String>,
    pub packets_sent: Option<i64>,
    pub bytes_sent: Option<i64>,
    pub packets_received: Option<i64>,
    pub bytes_received: Option<i64>,
    pub rule: String,
    pub acl: String,
    pub mac: Option<String>,
    pub flow_log: Option<String>,
    pub target: Option<String>,
    /// `nsg` or `vnet`
    pub log_kind: String,
    pub log_version: u8,
    pub record_time: Option<i64>,
}

/// What one text holds: its rows in document order, and counts of records that were read, of
/// tuples in them that could not be, and of records that could not be.
#[derive(Debug, Default)]
pub struct Decoded {
    pub rows: Vec<Row>,
    pub records: u64,
    pub malformed: u64,
    pub bad_records: u64,
    /// Records of other logs.
    pub foreign: u64,
    /// Whether anything is of a flow log.
    is_flow_log: bool,
    hour: Option<i64>,
    macs: Vec<String>,
}

/// What is below `flowRecords` or `properties`.
#[derive(Default)]
struct Body {
    rows: Vec<Row>,
    malformed: u64,
    lists: u64,
    unread: u64,
    /// `mac` of the objects that hold tuples.
    macs: Vec<String>,
}

/// Decodes one whole, well-formed text: a wrapper, a bare record, an array or NDJSON of them.
pub fn decode(blob: &[u8]) -> Decoded {
    decode_of_hour(blob, None)
}

/// Decodes the text of a blob whose path names an hour, in ms since 1970.
pub fn decode_of_hour(blob: &[u8], hour: Option<i64>) -> Decoded {
    decode_of_macs(blob, hour, &[])
}

/// Decodes what the records of these interfaces hold; of all where there are none.
pub fn decode_of_macs(blob: &[u8], hour: Option<i64>, macs: &[&str]) -> Decoded {
    let utf16 = |unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = blob[2..].chunks(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16(&units).expect("the reference decoder wants well-formed text").into_bytes()
    };
    let text = match blob {
        [0xFF, 0xFE, ..] => utf16(u16::from_le_bytes),
        [0xFE, 0xFF, ..] => utf16(u16::from_be_bytes),
        _ => blob.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(blob).to_vec(),
    };
    let macs = macs.iter().map(|mac| (*mac).to_owned()).collect();
    let mut decoded = Decoded { hour, macs, ..Decoded::default() };
    for value in Deserializer::from_slice(&text).into_iter() {
        decoded.value(&value.expect("the reference decoder wants well-formed JSON"));
    }
    if !decoded.is_flow_log && decoded.foreign == 0 {
        decoded.bad_records = decoded.bad_records.min(1);
    }
    decoded
}

/// What a tuple inherits: the record's own, then the innermost `rule`, `aclID` and `mac`.
#[derive(Clone, Copy)]
struct Scope<'a> {
    log_kind: &'a str,
    log_version: u8,
    record_time: Option<i64>,
    /// The time that tuples must be near.
    near: Option<i64>,
    flow_log: Option<&'a str>,
    target: Option<&'a str>,
    rule: &'a str,
    acl: &'a str,
    mac: Option<&'a str>,
}

impl Decoded {
    fn value(&mut self, value: &Json) {
        match (value, value.get("records")) {
            (Json::Array(values), _) | (_, Some(Json::Array(values))) => {
                values.iter().for_each(|value| self.value(value));
            }
            (_, Some(inner @ Json::Object(_))) => self.value(inner),
            _ => self.record(value),
        }
    }

    fn record(&mut self, record: &Json) {
        let has_flow_records = record.get("flowRecords").is_some();
        let body_key = if has_flow_records { "flowRecords" } else { "properties" };
        let body = record.get(body_key);
        let version = version(record);
        let resource = text(record, "resourceId");
        let record_time = text(record, "time").and_then(rfc3339);
        let is_first = record.place("time") < record.place(body_key);
        let mut found = Body::default();
        let scope = Scope {
            log_kind: if has_flow_records { "vnet" } else { "nsg" },
            log_version: version.unwrap_or_default(),
            record_time,
            near: record_time.filter(|_| is_first).or(self.hour),
            flow_log: text(record, "flowLogResourceID").or(resource).filter(|_| has_flow_records),
            target: text(record, "targetResourceID"),
            rule: "",
            acl: resource.unwrap_or(""),
            mac: text(record, "macAddress"),
        };
        found.scopes(body, scope);
        let is_taken = self.takes(scope.mac, &found);
        let is_other_interface = scope.mac.is_some() && !is_taken;
        if !has_flow_records && found.lists == 0 && !is_other_interface && is_foreign(record) {
            self.foreign += 1;
        } else if !is_taken {
            self.is_flow_log = true;
        } else if version.is_none() || found.lists == 0 {
            self.is_flow_log |= body.is_some() || record.names_flows();
            self.bad_records += 1;
        } else {
            self.is_flow_log = true;
            self.records += 1;
            self.bad_records += found.unread;
            self.malformed += found.malformed;
            self.rows.extend(found.rows);
        }
    }

    /// Whether a record is of a chosen interface.
    fn takes(&self, mac: Option<&str>, body: &Body) -> bool {
        let is_chosen = |mac: &str| {
            let digits: String = mac.chars().filter(|c| !":-.".contains(*c)).collect();
            self.macs.contains(&digits.to_uppercase())
        };
        self.macs.is_empty() || mac.map_or_else(|| body.macs.iter().any(|mac| is_chosen(mac)), is_chosen)
    }
}

impl Body {
    /// The value of a key that should hold a list of objects.
    fn scopes(&mut self, value: Option<&Json>, outer: Scope) {
        match value {
            None => {}
            Some(object @ Json::Object(_)) => self.scope(object, outer),
            Some(Json::Array(values)) => {
                self.lists += u64::from(values.is_empty());
                for value in values {
                    match value {
                        Json::Object(_) => self.scope(value, outer),
                        _ => self.unread += 1,
                    }
                }
            }
            Some(_) => self.unread += 1,
        }
    }

    fn scope(&mut self, object: &Json, outer: Scope) {
        let scope = Scope {
            rule: text(object, "rule").unwrap_or(outer.rule),
            acl: text(object, "aclID").unwrap_or(outer.acl),
            mac: text(object, "mac").or(outer.mac),
            ..outer
        };
        let tuples = object.get("flowTuples");
        let lists = [object.get("flows"), object.get("flowGroups"), tuples];
        self.unread += u64::from(lists.iter().all(Option::is_none));
        lists[..2].iter().for_each(|list| self.scopes(*list, scope));
        let tuples: Vec<&Json> = match tuples {
            None => return,
            Some(Json::Array(tuples)) => tuples.iter().collect(),
            Some(tuple @ Json::Text(_)) => vec![tuple],
            Some(_) => {
                self.unread += 1;
                return;
            }
        };
        self.lists += 1;
        self.macs.extend(scope.mac.map(String::from));
        for tuple in tuples {
            match tuple.as_str().and_then(|tuple| row(tuple, scope)) {
                Some(row) => self.rows.push(row),
                None => self.malformed += 1,
            }
        }
    }
}

/// Whether a record names another log than a flow log.
fn is_foreign(record: &Json) -> bool {
    let category = text(record, "category").unwrap_or("").trim().to_lowercase();
    let is_other = !category.is_empty() && !category.ends_with("flowevent") && !category.ends_with("flowevents");
    is_other || text(record, "metricName").is_some()
}

/// A record's version; none for a bad one.
fn version(record: &Json) -> Option<u8> {
    let is_one_of = |value: Option<&Json>, default, versions: &[u64]| {
        let version = value.map_or(Some(default), Json::as_u64)?;
        versions.contains(&version).then_some(version as u8)
    };
    if record.get("flowRecords").is_some() {
        return is_one_of(record.get("flowLogVersion"), 4, &[4]);
    }
    let body = record.get("properties")?;
    let scopes = if let Json::Array(scopes) = body { &scopes[..] } else { std::slice::from_ref(body) };
    is_one_of(scopes.iter().filter_map(|scope| scope.get("Version")).next_back(), 2, &[1, 2])
}

/// The row of one tuple, or none where the tuple is malformed.
///
/// The columns are `time,source,destination,port,port,protocol,direction`, then `decision,state` in
/// the letter layout or `state,encryption` in the number layout, then four counters. Eight of them
/// are a must, the rest may be missing or empty, and what comes after the counters is ignored.
fn row(tuple: &str, scope: Scope) -> Option<Row> {
    let columns: Vec<&str> = tuple.split(',').collect();
    if columns.len() < 8 {
        return None;
    }
    // A column that may be missing is empty then.
    let optional = |index: usize| columns.get(index).copied().unwrap_or("");

    let time = match digits(columns[0])? {
        seconds if seconds < FIRST_MILLISECONDS => seconds * 1000,
        milliseconds => milliseconds,
    };
    if !(DAYS_TO_2015 * DAY..=DAYS_TO_2100 * DAY).contains(&time) {
        return None;
    }
    if scope.near.is_some_and(|near| (time - near).abs() > 90 * DAY) {
        return None;
    }
    let direction = match columns[6] {
        "I" => "inbound",
        "O" => "outbound",
        _ => return None,
    };
    let (protocol, denied, state, encryption) = match columns[5] {
        letter @ ("T" | "U") => {
            let protocol = if letter == "T" { "TCP" } else { "UDP" };
            let denied = match columns[7] {
                "A" => false,
                "D" => true,
                _ => return None,
            };
            let state = match optional(8) {
                "" => None,
                letter => Some(flow_state(letter)?),
            };
            (protocol.to_string(), denied, state, "")
        }
        number => {
            let protocol = match short(number, 3, 255)? {
                6 => "TCP".to_string(),
                17 => "UDP".to_string(),
                other => other.to_string(),
            };
            let state = match columns[7] {
                "D" => None,
                letter => Some(flow_state(letter)?),
            };
            (protocol, state.is_none(), state, optional(8))
        }
    };
    let counters = [counter(optional(9))?, counter(optional(10))?, counter(optional(11))?, counter(optional(12))?];

    // What is well formed does not all show: a denied flow has no life, and version 1 logs none.
    let state = state.filter(|_| !denied && scope.log_version != 1);
    let counted = !denied && scope.log_version != 1 && state != Some("begin");
    let [packets_sent, bytes_sent, packets_received, bytes_received] =
        counters.map(|counter| counter.filter(|_| counted));
    Some(Row {
        time,
        src_ip: ip(columns[1])?,
        dst_ip: ip(columns[2])?,
        src_port: port(columns[3])?,
        dst_port: port(columns[4])?,
        protocol,
        direction: direction.to_string(),
        decision: if denied { "deny" } else { "allow" }.to_string(),
        state: state.map(String::from),
        encryption: Some(encryption).filter(|text| !text.is_empty()).map(String::from),
        packets_sent,
        bytes_sent,
        packets_received,
        bytes_received,
        rule: scope.rule.to_string(),
        acl: scope.acl.to_string(),
        mac: scope.mac.map(String::from),
        flow_log: scope.flow_log.map(String::from),
        target: scope.target.map(String::from),
        log_kind: scope.log_kind.to_string(),
        log_version: scope.log_version,
        record_time: scope.record_time,
    })
}

/// JSON with the keys of its objects in the order of the text.
enum Json {
    Text(String),
    Number(u64),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
    Other,
}

impl Json {
    fn get(&self, key: &str) -> Option<&Json> {
        let Json::Object(pairs) = self else { return None };
        pairs.iter().rfind(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
    }

    /// How many keys of the object come before this one.
    fn place(&self, key: &str) -> Option<usize> {
        let Json::Object(pairs) = self else { return None };
        pairs.iter().rposition(|(name, _)| name.eq_ignore_ascii_case(key))
    }

    /// Whether a word that only flow logs have is in any key or text.
    fn names_flows(&self) -> bool {
        let has = |text: &str| {
            let text = text.to_ascii_lowercase();
            let words = ["flowtuples", "flowrecords", "flowgroups", "flowevent", "flowlog", "macaddress"];
            words.iter().any(|word| text.contains(word))
        };
        match self {
            Json::Text(text) => has(text),
            Json::Array(values) => values.iter().any(Json::names_flows),
            Json::Object(pairs) => pairs.iter().any(|(key, value)| has(key) || value.names_flows()),
            Json::Number(_) | Json::Other => false,
        }
    }

    fn as_str(&self) -> Option<&str> {
        if let Json::Text(text) = self { Some(text) } else { None }
    }

    fn as_u64(&self) -> Option<u64> {
        if let Json::Number(number) = self { Some(*number) } else { None }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyJson)
    }
}

struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json, A::Error> {
        let mut all = Vec::new();
        while let Some(element) = elements.next_element()? {
            all.push(element);
        }
        Ok(Json::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Json, A::Error> {
        let mut all = Vec::new();
        while let Some(pair) = pairs.next_entry()? {
            all.push(pair);
        }
        Ok(Json::Object(all))
    }
}

fn text<'a>(object: &'a Json, key: &str) -> Option<&'a str> {
    object.get(key)?.as_str()
}

/// A number of ASCII digits and nothing else, so without a sign; of no more than the largest number has.
fn digits(text: &str) -> Option<i64> {
    let all_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| all_digits && text.len() <= 19)
}

/// A number of at most `longest` digits that is at most `largest`.
fn short(text: &str, longest: usize, largest: i64) -> Option<i64> {
    digits(text).filter(|&number| text.len() <= longest && number <= largest)
}

/// A counter that may be empty; the outer none is for a malformed one.
fn counter(text: &str) -> Option<Option<i64>> {
    match text {
        "" => Some(None),
        text => short(text, 19, i64::MAX).map(Some),
    }
}

fn port(text: &str) -> Option<u16> {
    u16::try_from(short(text, 5, 65_535)?).ok()
}

/// An address as people write it: RFC 5952, `::ffff:a.b.c.d` as IPv4.
fn ip(text: &str) -> Option<String> {
    let address: IpAddr = text.parse().ok()?;
    Some(address.to_canonical().to_string())
}

fn flow_state(letter: &str) -> Option<&'static str> {
    match letter {
        "B" => Some("begin"),
        "C" => Some("continue"),
        "E" => Some("end"),
        _ => None,
    }
}

/// An RFC 3339 time in milliseconds, further digits cut off. Second 60 is none.
fn rfc3339(text: &str) -> Option<i64> {
    let date_time = text.get(..19)?;
    let shape: String = date_time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    if !shape.eq_ignore_ascii_case("0000-00-00T00:00:00") {
        return None;
    }
    let field = |from: usize, to: usize| digits(&date_time[from..to]);
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);

    let leap = i64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
    let months = [31, 28 + leap, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (past, rest) = months.split_at(month as usize - 1);
    if !(1..=rest[0]).contains(&day) {
        return None;
    }
    // Days from 0001-01-01 to the first of this year, then from 1970-01-01 to this day.
    let years = year - 1;
    let leap_days = years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400);
    let days = 365 * years + leap_days + past.iter().sum::<i64>() + day - 1 - 719_162;

    let (milliseconds, zone) = match text[19..].strip_prefix('.') {
        None => (0, &text[19..]),
        Some(rest) => {
            let zone = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            let fraction = &rest[..rest.len() - zone.len()];
            if fraction.is_empty() {
                return None;
            }
            (digits(&format!("{fraction}00")[..3])?, zone)
        }
    };
    let offset_minutes = match zone.as_bytes() {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let hours = short(zone.get(1..3)?, 2, 23)?;
            let minutes = short(zone.get(4..6)?, 2, 59)?;
            (hours * 60 + minutes) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let minutes = (days * 24 + hour) * 60 + minute - offset_minutes;
    Some((minutes * 60 + second) * 1000 + milliseconds)
}

/// The row of an nsg record, version 2, with this one tuple and nothing else.
fn nsg_tuple(tuple: &str) -> Option<Row> {
    one(&format!(r#"{{"properties":{{"Version":2,"flowTuples":["{tuple}"]}}}}"#))
}

/// The row of a vnet record with this one tuple and nothing else.
fn vnet_tuple(tuple: &str) -> Option<Row> {
    one(&format!(r#"{{"flowRecords":{{"flowTuples":["{tuple}"]}}}}"#))
}

/// The only row of a text, or none where its only tuple is malformed.
fn one(text: &str) -> Option<Row> {
    let decoded = decode(text.as_bytes());
    assert_eq!((decoded.records, decoded.bad_records), (1, 0), "{text}");
    assert_eq!(decoded.rows.len() as u64 + decoded.malformed, 1, "{text}");
    decoded.rows.into_iter().next()
}

fn counters(row: &Row) -> [Option<i64>; 4] {
    [row.packets_sent, row.bytes_sent, row.packets_received, row.bytes_received]
}

#[test]
fn every_wrapping_holds_the_same_records() {
    let a = r#"{"properties":{"Version":1,"flowTuples":["1500000001,1.1.1.1,2.2.2.2,1,2,T,I,A"]}}"#;
    let b = r#"{"flowRecords":{"flowTuples":["1500000002,1.1.1.1,2.2.2.2,1,2,6,I,B"]}}"#;
    for text in [
        format!(r#"{{"records":[{a},{b}]}}"#),
        format!("\u{feff}{{\"records\": [\n{a}, {b}]}}\n"),
        format!("[{a},{b}]"),
        format!("{a}\n{b}\n"),
        format!("{a}\r\n\r\n{b}"),
        format!(r#"{{"records":[{{"records":[{a}]}},{b}]}}"#),
        format!(r#"[{{"records":[{a}]}}] {{"records":[]}} {b}"#),
    ] {
        let decoded = decode(text.as_bytes());
        let times: Vec<i64> = decoded.rows.iter().map(|row| row.time).collect();
        assert_eq!(times, [1_500_000_001_000, 1_500_000_002_000], "{text}");
        assert_eq!(decoded.records, 2, "{text}");
        assert_eq!((decoded.malformed, decoded.bad_records), (0, 0), "{text}");
    }
    assert_eq!(decode(b"").records, 0);
}

#[test]
fn keys_and_version_decide_the_kind() {
    let kinds = [
        (r#""flowRecords":{T}"#, Some(("vnet", 4))),
        (r#""flowRecords":{T},"flowLogVersion":4"#, Some(("vnet", 4))),
        (r#""flowRecords":{T},"flowLogVersion":2"#, None),
        (r#""flowRecords":{T},"flowLogVersion":"4""#, None),
        (r#""flowRecords":{T},"flowLogVersion":null"#, None),
        (r#""properties":{"Version":2},"flowRecords":{T}"#, Some(("vnet", 4))),
        (r#""properties":{T}"#, Some(("nsg", 2))),
        (r#""properties":{"Version":1,T}"#, Some(("nsg", 1))),
        (r#""properties":{"version":1,T}"#, Some(("nsg", 1))),
        (r#""properties":{"Version":4,T}"#, None),
        (r#""properties":{"Version":-1,T}"#, None),
        (r#""properties":{"Version":"1.0",T}"#, None),
        (r#""time":"now",T"#, None),
    ];
    let tuples = r#""flowTuples":["1500000001,1.1.1.1,2.2.2.2,1,2,T,I,A","bad"]"#;
    for (record, expected) in kinds {
        let decoded = decode(format!("{{{}}}", record.replace('T', tuples)).as_bytes());
        let read = u64::from(expected.is_some());
        let kind = decoded.rows.first().map(|row| (row.log_kind.as_str(), row.log_version));
        assert_eq!(kind, expected, "{record}");
        assert_eq!((decoded.records, decoded.bad_records), (read, 1 - read), "{record}");
        assert_eq!(decoded.malformed, read, "{record}");
    }
    assert_eq!(decode(b"[1, null, \"x\", {}]").bad_records, 1);
    assert_eq!(decode(b"[1, null, \"x\", {\"macAddress\":1}]").bad_records, 4);
}

#[test]
fn the_innermost_scope_wins() {
    let tuple = |second| format!(r#""flowTuples":["150000000{second},1.1.1.1,2.2.2.2,1,2,6,I,B"]"#);
    let text = format!(
        r#"{{"flowRecords":{{
            {}, "rule":"r0",
            "flowGroups":[{{{}, "rule":"r5", "mac":"m5"}}],
            "flows":[
                {{{}, "flowGroups":[{{{}, "mac":"m1", "rule":7}}], "aclID":"a2", "rule":"r2"}},
                {{"flows":[{{{}, "aclID":"a3"}}], "mac":"m3"}},
                "no object"
            ]}},
            "resourceId":"res", "macAddress":"m0"}}"#,
        tuple(5),
        tuple(4),
        tuple(2),
        tuple(1),
        tuple(3)
    );
    let decoded = decode(text.as_bytes());
    let scopes: Vec<_> =
        decoded.rows.iter().map(|row| (row.time, &*row.rule, &*row.acl, row.mac.as_deref().unwrap())).collect();
    assert_eq!(
        scopes,
        [
            (1_500_000_001_000, "r2", "a2", "m1"),
            (1_500_000_002_000, "r2", "a2", "m0"),
            (1_500_000_003_000, "r0", "a3", "m3"),
            (1_500_000_004_000, "r5", "res", "m5"),
            (1_500_000_005_000, "r0", "res", "m0"),
        ]
    );
    assert_eq!((decoded.records, decoded.bad_records), (1, 1));
}

#[test]
fn records_name_themselves() {
    let names = |keys: &str, body: &str| {
        let tuples = r#"{"flowTuples":["1500000001,1.1.1.1,2.2.2.2,1,2,6,I,B"]}"#;
        let row = one(&format!(r#"{{{keys}"{body}":{tuples}}}"#)).unwrap();
        [Some(row.acl), row.flow_log, row.target].map(Option::unwrap_or_default)
    };
    let keys = r#""resourceId":"R","flowLogResourceID":"F","targetResourceID":"T","#;
    assert_eq!(names(keys, "flowRecords"), ["R", "F", "T"]);
    assert_eq!(names(keys, "properties"), ["R", "", "T"]);
    assert_eq!(names(r#""resourceId":"R","#, "flowRecords"), ["R", "R", ""]);
    assert_eq!(names(r#""resourceid":"R","#, "properties"), ["R", "", ""]);
    assert_eq!(names("", "flowRecords"), ["", "", ""]);
}

#[test]
fn tuples_that_are_no_text_are_malformed() {
    let decoded = decode(br#"{"flowRecords":{"flowTuples":[1,null,["x"],"",{"rule":""}]}}"#);
    assert_eq!((decoded.records, decoded.malformed), (1, 5));
}

#[test]
fn letter_layout() {
    let row = nsg_tuple("1594238683,10.0.0.4,::FFFF:1.2.3.4,00080,65535,U,O,A,C,1,2,3,4,x,y").unwrap();
    assert_eq!(row.time, 1_594_238_683_000);
    assert_eq!((&*row.src_ip, &*row.dst_ip), ("10.0.0.4", "1.2.3.4"));
    assert_eq!((row.src_port, row.dst_port), (80, 65_535));
    assert_eq!((&*row.protocol, &*row.direction), ("UDP", "outbound"));
    assert_eq!((&*row.decision, row.state.as_deref()), ("allow", Some("continue")));
    assert_eq!((counters(&row), row.encryption), ([Some(1), Some(2), Some(3), Some(4)], None));

    let shown = |rest: &str| {
        let row = nsg_tuple(&format!("1500000001,::1,2001:DB8:0::1,1,2,T,I,{rest}"))?;
        Some((row.decision.clone(), row.state.clone().unwrap_or_default(), counters(&row)))
    };
    let expect = |decision: &str, state: &str, counters| Some((decision.to_string(), state.to_string(), counters));
    assert_eq!(shown("A"), expect("allow", "", [None; 4]));
    assert_eq!(shown("A,,1,2"), expect("allow", "", [Some(1), Some(2), None, None]));
    assert_eq!(shown("A,B,1,2,3,4"), expect("allow", "begin", [None; 4]));
    assert_eq!(shown("A,E,,0,,4"), expect("allow", "end", [None, Some(0), None, Some(4)]));
    assert_eq!(shown("D,C,1,2,3,4"), expect("deny", "", [None; 4]));
    for bad in ["X", "", "a", "A,D", "A,X", "A,B,x", "D,B,-1", "A,C,,,,+1", "A,C, 1"] {
        assert_eq!(shown(bad), None, "{bad}");
    }
}

#[test]
fn number_layout() {
    let shown = |rest: &str| {
        let row = vnet_tuple(&format!("1663146003599,::1,2001:DB8:0::1,1,2,{rest}"))?;
        assert_eq!((row.time, &*row.dst_ip), (1_663_146_003_599, "2001:db8::1"));
        let texts = [Some(&row.decision), row.state.as_ref(), row.encryption.as_ref()];
        let texts = texts.map(|text| text.cloned().unwrap_or_default()).join(" ");
        Some((row.protocol.clone(), texts, counters(&row)))
    };
    let expect = |protocol: &str, texts: &str, counters| Some((protocol.to_string(), texts.to_string(), counters));
    let all = [Some(1), Some(2), Some(3), Some(4)];
    assert_eq!(shown("6,I,C,NX,1,2,3,4"), expect("TCP", "allow continue NX", all));
    assert_eq!(shown("017,I,E,?,1,2,3,4"), expect("UDP", "allow end ?", all));
    assert_eq!(shown("050,I,B,NX,1,2,3,4"), expect("50", "allow begin NX", [None; 4]));
    assert_eq!(shown("0,I,D,NX,1,2,3,4"), expect("0", "deny  NX", [None; 4]));
    assert_eq!(shown("255,I,E"), expect("255", "allow end ", [None; 4]));
    assert_eq!(shown("6,I,E,,5"), expect("TCP", "allow end ", [Some(5), None, None, None]));
    for bad in ["256,I,B", "0006,I,B", ",I,B", "t,I,B", "+6,I,B", "6,i,B", "6,,B", "6,I,A", "6,I,"] {
        assert_eq!(shown(bad), None, "{bad}");
    }
}

#[test]
fn the_layout_is_the_tuples_own() {
    let row = nsg_tuple("1500000001,1.1.1.1,2.2.2.2,1,2,6,I,C,NX,7").unwrap();
    assert_eq!((row.encryption.as_deref(), row.packets_sent), (Some("NX"), Some(7)));
    let row = vnet_tuple("1500000001,1.1.1.1,2.2.2.2,1,2,T,I,A,C,7").unwrap();
    assert_eq!((row.state.as_deref(), row.packets_sent), (Some("continue"), Some(7)));

    let version_1 = |tuple| one(&format!(r#"{{"properties":{{"Version":1,"flowTuples":["{tuple}"]}}}}"#));
    let row = version_1("1500000001,1.1.1.1,2.2.2.2,1,2,T,I,A,C,7,7,7,7").unwrap();
    assert_eq!((row.state.as_deref(), counters(&row)), (None, [None; 4]));
    assert_eq!(version_1("1500000001,1.1.1.1,2.2.2.2,1,2,T,I,A,X"), None);
    assert_eq!(version_1("1500000001,1.1.1.1,2.2.2.2,1,2,T,I,A,C,x"), None);
}

#[test]
fn times_addresses_ports_and_counters_have_limits() {
    let time = |text: &str| Some(nsg_tuple(&format!("{text},::1,::1,1,2,T,I,A"))?.time);
    assert_eq!(time("1420070400"), Some(1_420_070_400_000));
    assert_eq!(time("1420070400000"), Some(1_420_070_400_000));
    assert_eq!(time("4102444800"), Some(4_102_444_800_000));
    assert_eq!(time("4102444800000"), Some(4_102_444_800_000));
    assert_eq!(time("0000000001500000007"), Some(1_500_000_007_000));
    for bad in [
        "0",
        "1420070399",
        "1420070399999",
        "4102444801",
        "4102444800001",
        "99999999999",
        "100000000000",
        "99999999999999999999",
        "00000000001500000007",
        "",
        "-1",
        "+1500000001",
        "1500000001.5",
        " 1500000001",
        "1.5e9",
        "\u{661}",
    ] {
        assert_eq!(time(bad), None, "{bad}");
    }
    let ip = |text: &str| Some(nsg_tuple(&format!("1500000001,{text},::1,1,2,T,I,A"))?.src_ip);
    assert_eq!(ip("FE80:0:0:0:0:0:0:A").as_deref(), Some("fe80::a"));
    for bad in ["", "1.2.3", "01.2.3.4", "1.2.3.256", "[::1]", "fe80::1%1", "1.2.3.4 ", "host"] {
        assert_eq!(ip(bad), None, "{bad}");
    }
    for bad in ["65536", "000080", "", "-1", "+1", " 1"] {
        assert_eq!(nsg_tuple(&format!("1500000001,::1,::1,{bad},2,T,I,A")), None, "{bad}");
        assert_eq!(nsg_tuple(&format!("1500000001,::1,::1,1,{bad},T,I,A")), None, "{bad}");
    }
    let sent = |text: &str| nsg_tuple(&format!("1500000001,::1,::1,1,2,T,I,A,C,{text}"))?.packets_sent;
    assert_eq!(sent("9223372036854775807"), Some(i64::MAX));
    assert_eq!(sent("0000000000000000007"), Some(7));
    assert_eq!(sent("00000000000000000007"), None);
    assert_eq!(sent("9223372036854775808"), None);
    assert_eq!(nsg_tuple("1500000001,::1,::1,1,2,T,I"), None);
}

#[test]
fn times_are_near_the_time_that_comes_first() {
    const MAY_4TH: i64 = 1_777_878_000_000;
    let body = |days: i64| {
        let time = MAY_4TH + days * DAY;
        format!(r#""flowRecords":{{"flowTuples":["{time},::1,::1,1,2,6,I,B","{},::1,::1,1,2,6,I,B"]}}"#, time + 1)
    };
    let rows = |record: String, hour| decode_of_hour(format!("{{{record}}}").as_bytes(), hour).rows.len();
    let time = r#""time":"2026-05-04T07:00:00Z""#;
    for (record, hour, expected) in [
        (format!("{time},{}", body(0)), None, 2),
        (format!("{time},{}", body(90)), None, 1),
        (format!("{time},{}", body(-90)), Some(0), 2),
        (format!("{time},{}", body(-91)), Some(MAY_4TH - 91 * DAY), 0),
        (format!("{},{time}", body(91)), None, 2),
        (format!("{},{time}", body(91)), Some(MAY_4TH), 0),
        (format!(r#""time":"then",{}"#, body(91)), Some(MAY_4TH), 0),
        (format!(r#""time":"then",{}"#, body(91)), None, 2),
        (body(90), Some(MAY_4TH), 1),
    ] {
        assert_eq!(rows(record.clone(), hour), expected, "{record} {hour:?}");
    }
}

#[test]
fn record_times_are_rfc_3339() {
    for (text, milliseconds) in [
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.9999Z", -1),
        ("2020-07-08T20:04:43.4178856Z", 1_594_238_683_417),
        ("2020-07-08T20:04:43.4z", 1_594_238_683_400),
        ("2020-07-08t22:04:43.41+02:00", 1_594_238_683_410),
        ("2020-07-08T14:34:43-05:30", 1_594_238_683_000),
        ("2000-02-29T00:00:00+00:00", 951_782_400_000),
        ("2024-12-31T23:59:59-00:00", 1_735_689_599_000),
        ("0000-01-01T00:00:00Z", -62_167_219_200_000),
        ("9999-12-31T23:59:59.999999999999Z", 253_402_300_799_999),
    ] {
        assert_eq!(rfc3339(text), Some(milliseconds), "{text}");
    }
    for bad in [
        "",
        "20180719:L012620622",
        "2020-07-08",
        "2020-07-08T20:04:43",
        "2020-07-08T20:04:43.Z",
        "2020-07-08T20:04:43,5Z",
        "2020-07-08 20:04:43Z",
        "2020-07-08T20:04Z",
        "2020-07-08T20:04:43Z ",
        "2020-07-08T20:04:43+0200",
        "2020-07-08T20:04:43+24:00",
        "2020-07-08T20:04:43+02:60",
        "2020-07-08T20:04:43+é:00",
        "2020-07-08T24:00:00Z",
        "2020-07-08T20:60:43Z",
        "2016-12-31T23:59:60Z",
        "2020-00-08T20:04:43Z",
        "2020-13-08T20:04:43Z",
        "2020-07-00T20:04:43Z",
        "2020-04-31T20:04:43Z",
        "2021-02-29T20:04:43Z",
        "1900-02-29T20:04:43Z",
        "+020-07-08T20:04:43Z",
        "2020-07-08T20:04:4é",
    ] {
        assert_eq!(rfc3339(bad), None, "{bad}");
    }
    let record = |time: &str| {
        let tuples = r#"{"flowTuples":["1500000001,::1,::1,1,2,T,I,A"]}"#;
        one(&format!(r#"{{"properties":{tuples},"time":{time}}}"#)).unwrap().record_time
    };
    assert_eq!(record(r#""1970-01-01T00:00:01Z""#), Some(1000));
    assert_eq!((record("1"), record("null"), record(r#""""#)), (None, None, None));
}
