//! Whose flows are looked at: groups the flows, and finds the scope in them where none was given.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use tokio::try_join;

use super::finding::Basis;
use crate::catalog::role;
use crate::engine::{Session, SessionError};
use crate::net::{Prefix, parse_ip};
use crate::queries;

/// Of more ports than this, looking through the logs for them alone is no help.
const FEW_PORTS: usize = 1000;
/// On the common number line, IPv4 lies in it.
const EVERYWHERE: &str = "::/0";

/// Makes the table `flow_groups` from one scan. Without a scope, local input is first looked through for the ports
/// on which API Management shows itself; remote input is read once, and turned afterwards.
pub async fn group_flows(session: &mut Session) -> Result<Basis, SessionError> {
    if !session.scope().subnets.is_empty() {
        groups(session, None).await?;
        return Ok(Basis::Given);
    }
    if let Some(ports) = telling_ports(session).filter(|_| session.is_local()) {
        groups(session, Some(ports)).await?;
        let shown = Locals::read(session).await?.shown;
        if !shown.is_empty() {
            session.set_subnets(shown)?;
            groups(session, None).await?;
            return Ok(Basis::Inferred);
        }
    }
    groups(session, None).await?;
    let Locals { shown, all } = Locals::read(session).await?;
    let (basis, subnets) = if shown.is_empty() { (Basis::Unknown, all) } else { (Basis::Inferred, shown) };
    if !subnets.is_empty() {
        session.set_subnets(subnets)?;
        session.materialize_as(queries::FLOW_GROUPS.id, queries::SCOPED_GROUPS, vec![]).await?;
        session.materialize_as(queries::CONTACTS.id, queries::SCOPED_CONTACTS, vec![]).await?;
    }
    Ok(basis)
}

/// `ports` are the destination ports to look at; `None` for all.
async fn groups(session: &Session, ports: Option<Vec<u16>>) -> Result<(), SessionError> {
    let subnets = match session.scope().subnets.as_slice() {
        [] => EVERYWHERE.to_owned(),
        subnets => subnets.iter().map(ToString::to_string).collect::<Vec<_>>().join(";"),
    };
    let ports: Option<Vec<ScalarValue>> = ports.map(|ports| ports.into_iter().map(ScalarValue::from).collect());
    let ports = match ports {
        Some(ports) => ScalarValue::List(ScalarValue::new_list_nullable(&ports, &DataType::UInt16)),
        None => ScalarValue::new_null_list(DataType::UInt16, true, 1),
    };
    let params = vec![("subnets", ScalarValue::from(subnets)), ("ports", ports)];
    session.materialize(queries::FLOW_PASS, params).await?;
    let keep = |query| session.materialize(query, vec![]);
    try_join!(keep(queries::FLOW_GROUPS), keep(queries::CONTACTS)).map(|_| ())
}

/// The ports of the rows that show the scope; `None` where that is no help.
fn telling_ports(session: &Session) -> Option<Vec<u16>> {
    let rows = session.scope().requirements();
    let telling = rows.iter().filter(|row| role(&row.id).is_some_and(|role| role.shows_scope()));
    let ports: Vec<u16> =
        telling.flat_map(|row| row.destination_ports.ranges()).flat_map(|&(low, high)| low..=high).collect();
    (1..FEW_PORTS).contains(&ports.len()).then_some(ports)
}

/// Interfaces in the logs, as prefixes of one address, ascending.
struct Locals {
    all: Vec<Prefix>,
    /// Those that are the instance's.
    shown: Vec<Prefix>,
}

impl Locals {
    async fn read(session: &Session) -> Result<Self, SessionError> {
        let rows = session.table(queries::SCOPE).await?;
        let mut locals = Self { all: Vec::new(), shown: Vec::new() };
        for row in rows.rows() {
            let Some(prefix) = parse_ip(&rows.text("ip", row)).map(Prefix::single) else { continue };
            locals.all.push(prefix);
            if rows.flag("is_shown", row) {
                locals.shown.push(prefix);
            }
        }
        locals.all.sort_unstable();
        locals.shown.sort_unstable();
        Ok(locals)
    }
}
