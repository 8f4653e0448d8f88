//! Denied flows that no requirement waits for, each with what it may be.

use super::finding::Unmatched;
use crate::catalog::dependency;
use crate::engine::{Session, SessionError, Table};
use crate::queries;

pub async fn unmatched(session: &Session) -> Result<Vec<Unmatched>, SessionError> {
    session.materialize(queries::UNMATCHED, vec![]).await?;
    let rows = session.table(queries::HINTS).await?;
    let row = |row: usize| Unmatched {
        direction: rows.text("direction", row),
        remote: rows.text("remote", row),
        port: rows.int("port", row).unwrap_or_default(),
        protocol: rows.text("protocol", row),
        rule: rows.text("rule", row),
        acl: rows.text("acl", row),
        denied_tuples: rows.int("denied_tuples", row).unwrap_or_default(),
        hint: hint(&rows, row),
    };
    Ok(rows.rows().map(row).collect())
}

/// The nearest explanation first: a private endpoint, this edition's prose, another edition.
fn hint(rows: &Table, row: usize) -> String {
    if rows.flag("is_platform", row) {
        return "Azure's own host, the platform's agent and probes".to_owned();
    }
    let (notes, endpoints) = (rows.text("notes", row), rows.text("endpoints", row));
    if !endpoints.is_empty() {
        let name = |id: &str| dependency(id).map_or(id.to_owned(), |d| d.name.clone());
        let names: Vec<String> = endpoints.split(',').map(name).collect();
        return format!("a private endpoint of {}, or a backend?", either(&names));
    }
    if !notes.is_empty() {
        return format!("the edition names hosts on this port in its notes: {notes}");
    }
    match (rows.text("edition", row), rows.text("id", row), rows.text("purpose", row)) {
        (edition, id, purpose) if !edition.is_empty() => {
            format!("edition {edition} has a row for it: {id} ({purpose})")
        }
        _ if rows.text("direction", row) == "inbound" => "another machine of the network".to_owned(),
        _ => "a backend?".to_owned(),
    }
}

/// `a, b or c`
fn either(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}
