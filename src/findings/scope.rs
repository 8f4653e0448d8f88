//! Whose flows are looked at: groups the flows, and finds the scope in them where none was given.

use datafusion::common::ScalarValue;

use super::finding::Basis;
use crate::catalog::role;
use crate::engine::{Session, SessionError};
use crate::net::{Prefix, parse_ip};
use crate::queries;

const ALL_PORTS: (u16, u16) = (0, u16::MAX);
/// On the common number line, IPv4 lies in it.
const EVERYWHERE: &str = "::/0";

/// Makes the table `flow_groups` from one scan. Without a scope, local input is first looked through for the ports
/// on which API Management shows itself; remote input is read once, and turned afterwards.
pub async fn group_flows(session: &mut Session) -> Result<Basis, SessionError> {
    if !session.scope().subnets.is_empty() {
        groups(session, ALL_PORTS).await?;
        return Ok(Basis::Given);
    }
    if let Some(ports) = telling_ports(session).filter(|_| session.is_local()) {
        groups(session, ports).await?;
        let shown = Locals::read(session).await?.shown;
        if !shown.is_empty() {
            session.set_subnets(shown)?;
            groups(session, ALL_PORTS).await?;
            return Ok(Basis::Inferred);
        }
    }
    groups(session, ALL_PORTS).await?;
    let Locals { shown, all } = Locals::read(session).await?;
    let (basis, subnets) = if shown.is_empty() { (Basis::Unknown, all) } else { (Basis::Inferred, shown) };
    if !subnets.is_empty() {
        session.set_subnets(subnets)?;
        session.materialize_as(queries::FLOW_GROUPS.id, queries::SCOPED_GROUPS, vec![]).await?;
    }
    Ok(basis)
}

async fn groups(session: &Session, (low, high): (u16, u16)) -> Result<(), SessionError> {
    let subnets = match session.scope().subnets.as_slice() {
        [] => EVERYWHERE.to_owned(),
        subnets => subnets.iter().map(ToString::to_string).collect::<Vec<_>>().join(";"),
    };
    let params = vec![
        ("subnets", ScalarValue::from(subnets)),
        ("low_port", ScalarValue::from(low)),
        ("high_port", ScalarValue::from(high)),
    ];
    session.materialize(queries::FLOW_GROUPS, params).await
}

/// From the lowest to the highest port of the rows that show the scope; `None` where that is no help.
fn telling_ports(session: &Session) -> Option<(u16, u16)> {
    let rows = session.scope().requirements();
    let telling = rows.iter().filter(|row| role(&row.id).is_some_and(|role| role.shows_scope()));
    let ranges: Vec<(u16, u16)> = telling.flat_map(|row| row.destination_ports.ranges()).copied().collect();
    let ports = (ranges.iter().map(|r| r.0).min()?, ranges.iter().map(|r| r.1).max()?);
    (ports != ALL_PORTS).then_some(ports)
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
