//! The embedded SQL files of `queries/`. Knows nothing else.

mod named;

pub use named::{NamedQuery, NamedQueryError, Param, ParamKind, of_folder, shipped};

/// A file of `queries/`.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    /// Id from its header; also the name of the table with its rows.
    pub id: &'static str,
    /// Text of the file, including its header.
    pub sql: &'static str,
}

macro_rules! query {
    ($name:ident, $id:literal, $folder:literal) => {
        #[doc = concat!("Query of `queries/", $folder, "/", $id, ".sql`, whose header lists its columns.")]
        pub const $name: Query =
            Query { id: $id, sql: include_str!(concat!("../queries/", $folder, "/", $id, ".sql")) };
    };
}

query!(FLOW_PASS, "flow_pass", "views");
query!(FLOW_GROUPS, "flow_groups", "views");
query!(CONTACTS, "contacts", "views");
query!(SHOWN_GROUPS, "shown_groups", "views");
query!(DENIED_FLOWS, "denied_flows", "views");
query!(LOOK, "look", "findings");
query!(LOOKED_INTERFACES, "looked_interfaces", "findings");
query!(SCOPE, "scope", "findings");
query!(SCOPED_GROUPS, "scoped_groups", "findings");
query!(SCOPED_CONTACTS, "scoped_contacts", "findings");
query!(INTERFACES, "interfaces", "findings");
query!(LOG_STATES, "log_states", "findings");
query!(VNET_MODE, "vnet_mode", "findings");
query!(QUALITY, "quality", "findings");
query!(CANDIDATES, "candidates", "findings");
query!(MATCHED, "matched", "findings");
query!(SUBNET_ENDS, "subnet_ends", "findings");
query!(ACTIVITY, "activity", "findings");
query!(DENIED, "denied", "findings");
query!(REGULARS, "regulars", "findings");
query!(SPLIT_DENIED, "split_denied", "findings");
query!(FINDING_HOURS, "finding_hours", "findings");
query!(FINDING_KEYS, "finding_keys", "findings");
query!(FINDING_SPANS, "finding_spans", "findings");
query!(REFUSED_PEERS, "refused_peers", "findings");
query!(ALLOWED_HOURS, "allowed_hours", "findings");
query!(FINDINGS, "findings", "findings");
query!(CAPTURED_TWICE, "captured_twice", "findings");
query!(FINDING_ADDRESSES, "finding_addresses", "findings");
query!(UNANSWERED, "unanswered", "findings");
query!(UNANSWERED_FINDINGS, "unanswered_findings", "findings");
query!(UNANSWERED_ADDRESSES, "unanswered_addresses", "findings");
query!(COVERAGE, "coverage", "findings");
query!(SILENCES, "silences", "findings");
query!(UNMATCHED, "unmatched", "findings");
query!(UNMATCHED_RULES, "unmatched_rules", "findings");
query!(REFUSED_FLOWS, "refused_flows", "findings");
query!(HINTS, "hints", "findings");
query!(PEERS_ALLOWED, "peers_allowed", "findings");
query!(TOTALS, "totals", "findings");
query!(FACTS, "facts", "findings");
query!(STRANGERS, "strangers", "findings");
query!(REFERENCE, "reference", "findings");

query!(LOGGED, "logged", "inspection");
query!(LOGGED_INTERFACES, "logged_interfaces", "inspection");
query!(LOGGED_RULES, "logged_rules", "inspection");
query!(LOGGED_TOTALS, "logged_totals", "inspection");
query!(LOGGED_GROUPS, "logged_groups", "inspection");

/// All queries except the named ones, in the order in which an analysis and an inspection run them. `REFERENCE` runs
/// only in tests.
pub const ALL: [Query; 48] = [
    DENIED_FLOWS,
    FLOW_PASS,
    FLOW_GROUPS,
    CONTACTS,
    SHOWN_GROUPS,
    LOOK,
    LOOKED_INTERFACES,
    SCOPE,
    SCOPED_GROUPS,
    SCOPED_CONTACTS,
    INTERFACES,
    LOG_STATES,
    VNET_MODE,
    QUALITY,
    CANDIDATES,
    MATCHED,
    SUBNET_ENDS,
    ACTIVITY,
    DENIED,
    REGULARS,
    SPLIT_DENIED,
    FINDING_HOURS,
    FINDING_KEYS,
    FINDING_SPANS,
    REFUSED_PEERS,
    ALLOWED_HOURS,
    FINDINGS,
    CAPTURED_TWICE,
    FINDING_ADDRESSES,
    UNANSWERED,
    UNANSWERED_FINDINGS,
    UNANSWERED_ADDRESSES,
    COVERAGE,
    SILENCES,
    UNMATCHED,
    UNMATCHED_RULES,
    REFUSED_FLOWS,
    HINTS,
    TOTALS,
    FACTS,
    STRANGERS,
    LOGGED,
    LOGGED_INTERFACES,
    LOGGED_RULES,
    LOGGED_TOTALS,
    LOGGED_GROUPS,
    PEERS_ALLOWED,
    REFERENCE,
];
