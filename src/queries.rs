//! The SQL of `queries/`, embedded. Knows nothing else.

/// A file of `queries/`.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    /// As its header says; also the name of the table that its rows become.
    pub id: &'static str,
    pub sql: &'static str,
}

macro_rules! query {
    ($name:ident, $id:literal, $folder:literal) => {
        pub const $name: Query =
            Query { id: $id, sql: include_str!(concat!("../queries/", $folder, "/", $id, ".sql")) };
    };
}

query!(FLOW_GROUPS, "flow_groups", "views");
query!(CANDIDATES, "candidates", "findings");
query!(MATCHED, "matched", "findings");
query!(DENIED, "denied", "findings");
query!(FINDINGS, "findings", "findings");
query!(FINDING_HOURS, "finding_hours", "findings");
query!(FINDING_ADDRESSES, "finding_addresses", "findings");
query!(FINDING_LOCALS, "finding_locals", "findings");
query!(TOTALS, "totals", "findings");
query!(REFERENCE, "reference", "findings");

/// All of them, in the order in which an analysis runs them; the reference runs in tests only.
pub const ALL: [Query; 10] = [
    FLOW_GROUPS,
    CANDIDATES,
    MATCHED,
    DENIED,
    FINDINGS,
    FINDING_HOURS,
    FINDING_ADDRESSES,
    FINDING_LOCALS,
    TOTALS,
    REFERENCE,
];
