//! Keys of flow records, matched in any case because some tools change it.

/// Keys of a record that describe its flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKey {
    Time,
    MacAddress,
    Category,
    MetricName,
    ResourceId,
    FlowLogResourceId,
    TargetResourceId,
    FlowLogVersion,
    FlowRecords,
    Properties,
}

/// Keys of the objects below `flowRecords` or `properties`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeKey {
    Rule,
    AclId,
    Mac,
    Version,
    /// `flows` or `flowGroups`.
    Scopes,
    Tuples,
}

const RECORD: [(&str, RecordKey); 10] = [
    ("time", RecordKey::Time),
    ("macAddress", RecordKey::MacAddress),
    ("category", RecordKey::Category),
    ("resourceId", RecordKey::ResourceId),
    ("flowLogResourceID", RecordKey::FlowLogResourceId),
    ("targetResourceID", RecordKey::TargetResourceId),
    ("flowLogVersion", RecordKey::FlowLogVersion),
    ("flowRecords", RecordKey::FlowRecords),
    ("properties", RecordKey::Properties),
    ("metricName", RecordKey::MetricName),
];

const SCOPE: [(&str, ScopeKey); 7] = [
    ("rule", ScopeKey::Rule),
    ("flowTuples", ScopeKey::Tuples),
    ("aclID", ScopeKey::AclId),
    ("flowGroups", ScopeKey::Scopes),
    ("flows", ScopeKey::Scopes),
    ("mac", ScopeKey::Mac),
    ("Version", ScopeKey::Version),
];

impl RecordKey {
    /// Returns the key with this name; `None` for an irrelevant one.
    pub fn of(key: &[u8]) -> Option<Self> {
        find(&RECORD, key)
    }
}

impl ScopeKey {
    /// Returns the key with this name; `None` for an irrelevant one.
    pub fn of(key: &[u8]) -> Option<Self> {
        find(&SCOPE, key)
    }
}

/// Finds a key. Azure's own spelling is tried first because it is by far the most frequent.
fn find<K: Copy>(names: &[(&str, K)], key: &[u8]) -> Option<K> {
    let exact = names.iter().find(|(name, _)| name.as_bytes() == key);
    let found = exact.or_else(|| names.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(key)));
    found.map(|(_, key)| *key)
}

/// Returns whether the text contains a word that only flow logs use. Scans all of it.
pub fn names_flows(text: &[u8]) -> bool {
    const WORDS: [&[u8]; 6] = [b"flowTuples", b"flowRecords", b"flowGroups", b"flowEvent", b"flowLog", b"macAddress"];
    let starts = |at: usize, word: &[u8]| text[at..].get(..word.len()).is_some_and(|w| w.eq_ignore_ascii_case(word));
    let has = |lower: u8| {
        let mut places = memchr::memchr2_iter(lower, lower.to_ascii_uppercase(), text);
        places.any(|at| WORDS.iter().any(|word| starts(at, word)))
    };
    has(b'f') || has(b'm')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_any_case() {
        for key in ["flowLogResourceID", "FlowLogResourceId", "FLOWLOGRESOURCEID"] {
            assert_eq!(RecordKey::of(key.as_bytes()), Some(RecordKey::FlowLogResourceId), "{key}");
        }
        assert_eq!(ScopeKey::of(b"FlowTuples"), Some(ScopeKey::Tuples));
        assert_eq!(ScopeKey::of(b"flow_tuples"), None);
        assert_eq!(RecordKey::of(b""), None);
    }

    #[test]
    fn words_of_flow_logs_are_found() {
        assert!(names_flows(br#"{"category":"NetworkSecurityGroupFlowEvent"}"#));
        assert!(names_flows(b"MACADDRESS") && names_flows(b"xflowlog"));
        assert!(!names_flows(br#"{"name":"workflow","m":"flow","f":"flowTuple"}"#) && !names_flows(b""));
    }
}
