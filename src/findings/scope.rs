//! Groups the flows, and infers the scope from them if none was given.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use tokio::try_join;

use super::analysis::{Basis, SubnetSeen};
use super::subnets::{Decided, around, grouped};
use crate::engine::{Session, SessionError};
use crate::names::names;
use crate::net::{Prefix, number, parse_ip};
use crate::queries;

/// A look is not taken if the scope shows on this many ports or more.
const FEW_PORTS: usize = 1000;
/// Prefix of all addresses, because the common number line contains IPv4.
const EVERYWHERE: &str = "::/0";
/// At most this many local subnets are listed.
const SEEN: usize = 20;
/// Largest archive, in bytes, that is scanned again to list its subnets if nothing was in scope.
const SMALL: u64 = 64 << 20;

/// Origin of the scope, and the subnets in the logs.
#[derive(Debug)]
pub struct Grouped {
    /// Origin of the scope.
    pub basis: Basis,
    /// Local subnets in the logs; empty if the scope was given.
    pub subnets_seen: Vec<SubnetSeen>,
}

/// Makes the table `flow_groups` from one scan. Without a scope, a look at parts of the archive infers it first. If
/// there is no look, or it shows nothing, the scan keeps every interface. The groups are then rewritten for the scope
/// that they show.
pub async fn group_flows(session: &mut Session) -> Result<Grouped, SessionError> {
    if !session.scope().subnets().is_empty() {
        groups(session).await?;
        return Ok(Grouped { basis: Basis::Given, subnets_seen: Vec::new() });
    }
    if let Some(locals) = look(session).await?.filter(Locals::has_shown) {
        let basis = locals.set_scope(session)?;
        groups(session).await?;
        return Ok(Grouped { basis, subnets_seen: locals.subnets_seen() });
    }
    groups(session).await?;
    let mut locals = Locals::default();
    locals.read(session).await?;
    let basis = locals.set_scope(session)?;
    if !session.scope().subnets().is_empty() {
        session.materialize_as(queries::FLOW_GROUPS.id, queries::SCOPED_GROUPS, vec![]).await?;
        session.materialize_as(queries::CONTACTS.id, queries::SCOPED_CONTACTS, vec![]).await?;
    }
    Ok(Grouped { basis, subnets_seen: locals.subnets_seen() })
}

/// Lists the local subnets of an archive whose given scope holds no flow. Takes a look, or another scan of a small
/// archive. The list is empty if neither is possible.
pub async fn subnets_seen(session: &Session) -> Result<Vec<SubnetSeen>, SessionError> {
    let open = (**session.scope()).clone().with_subnets(Vec::new());
    let open = Session::over(Arc::clone(session.archive()), Arc::new(open))?;
    if let Some(locals) = look(&open).await? {
        return Ok(locals.subnets_seen());
    }
    let mut locals = Locals::default();
    if open.size() <= SMALL {
        groups(&open).await?;
        locals.read(&open).await?;
    }
    Ok(locals.subnets_seen())
}

/// Lists the local subnets of the table `flow_groups`, the busiest first. Another query than [`queries::FLOW_GROUPS`] may
/// have made the table, with the columns that [`queries::SCOPE`] reads.
pub async fn local_subnets(session: &Session) -> Result<Vec<SubnetSeen>, SessionError> {
    let mut locals = Locals::default();
    locals.read(session).await?;
    Ok(locals.subnets_seen())
}

async fn groups(session: &Session) -> Result<(), SessionError> {
    if !session.has(queries::FLOW_PASS)? {
        let subnets = match blocks(session).as_slice() {
            [] => EVERYWHERE.to_owned(),
            blocks => blocks.join(";"),
        };
        session.materialize(queries::FLOW_PASS, vec![("subnets", ScalarValue::from(subnets))]).await?;
    }
    let keep = |query| session.materialize(query, vec![]);
    try_join!(keep(queries::FLOW_GROUPS), keep(queries::CONTACTS)).map(|_| ())
}

/// Scans an archive once for several sessions over it, whose scopes are given. Their analyses then scan nothing. Does
/// nothing if a scope is not given, or if service tags of another cloud are to be dropped first.
pub async fn scan_together(sessions: &[&Session]) -> Result<(), SessionError> {
    let is_ready = |session: &&Session| !blocks(session).is_empty() && session.cloud_of_foreign_tags().is_none();
    if !sessions.iter().all(is_ready) {
        return Ok(());
    }
    let mut subnets: Vec<String> = sessions.iter().flat_map(|session| blocks(session)).collect();
    subnets.sort_unstable();
    subnets.dedup();
    Session::pass_together(sessions, subnets.join(";")).await
}

/// Returns the prefixes of the scope; none until it is known.
fn blocks(session: &Session) -> Vec<String> {
    session.scope().blocks().iter().map(|(block, _)| block.to_string()).collect()
}

/// Reads the local addresses in the first and last blobs per interface. `None` if no look is possible.
async fn look(session: &Session) -> Result<Option<Locals>, SessionError> {
    let (Some(ports), Some(mut look)) = (telling_ports(session), session.look()) else { return Ok(None) };
    let ports: Vec<ScalarValue> = ports.into_iter().map(ScalarValue::from).collect();
    let ports = ScalarValue::List(ScalarValue::new_list_nullable(&ports, &DataType::UInt16));
    let mut locals = None::<Locals>;
    while let Some(round) = look.next_round() {
        session.look_at(round)?;
        let params = vec![("ports", ports.clone())];
        session.materialize_as(queries::FLOW_GROUPS.id, queries::LOOK, params).await?;
        let locals = locals.get_or_insert_default();
        locals.read(session).await?;
        let interfaces = session.table(queries::LOOKED_INTERFACES).await?;
        for row in interfaces.rows() {
            if locals.is_shown(&row.text("ip")?) {
                look.end(&row.text("mac")?);
            }
        }
    }
    Ok(locals)
}

/// Returns the ports of the rows that show the scope; `None` if there are none or too many.
fn telling_ports(session: &Session) -> Option<Vec<u16>> {
    let telling = session.scope().telling_ports();
    let ports: Vec<u16> = telling.ranges().iter().flat_map(|&(low, high)| low..=high).collect();
    (1..FEW_PORTS).contains(&ports.len()).then_some(ports)
}

/// Local addresses in the logs, by their position on the common number line.
#[derive(Debug, Default)]
struct Locals(BTreeMap<u128, Local>);

#[derive(Debug)]
struct Local {
    ip: IpAddr,
    tuples: i64,
    /// ACLs that decided on its flows, in lower case.
    acls: Vec<String>,
    /// Flow that shows API Management on it.
    shown: Option<Shown>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    by: Sign,
    port: Option<u16>,
}

/// Kind of flow that shows API Management.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Probed by Azure's load balancer.
    Probed,
    /// Called by the control plane.
    Called,
    /// Answers on its ports.
    Answers,
}

names!(Sign { Probed = "probed", Called = "called", Answers = "answers" });

impl Locals {
    /// Adds the local addresses of the table `flow_groups`.
    async fn read(&mut self, session: &Session) -> Result<(), SessionError> {
        let rows = session.table(queries::SCOPE).await?;
        for row in rows.rows() {
            let text = row.text("ip")?;
            let ip = parse_ip(&text).ok_or_else(|| row.fault("ip", format!("'{text}' is no address")))?;
            let new = || Local { ip, tuples: 0, acls: Vec::new(), shown: None };
            let local = self.0.entry(number(ip)).or_insert_with(new);
            local.tuples += row.int::<i64>("tuples")?;
            local.acls.extend(row.texts_or_null("acls")?.unwrap_or_default());
            if local.shown.is_none() && row.text_or_null("shown_by")?.is_some() {
                local.shown = Some(Shown { by: row.named("shown_by")?, port: row.int_or_null("port")? });
            }
        }
        Ok(())
    }

    fn has_shown(&self) -> bool {
        self.0.values().any(|local| local.shown.is_some())
    }

    fn is_shown(&self, ip: &str) -> bool {
        parse_ip(ip).and_then(|ip| self.0.get(&number(ip))).is_some_and(|local| local.shown.is_some())
    }

    /// Sets the scope to the addresses that show API Management, or to all if none does.
    fn set_scope(&self, session: &mut Session) -> Result<Basis, SessionError> {
        let has_shown = self.has_shown();
        let in_scope = self.0.values().filter(|local| local.shown.is_some() || !has_shown);
        let subnets = grouped(in_scope.map(|local| Decided { ip: local.ip, acls: &local.acls }).collect());
        let members =
            subnets.iter().zip(0..).flat_map(|(subnet, place)| subnet.members.iter().map(move |&ip| (ip, place)));
        session.set_subnets(subnets.iter().map(|subnet| subnet.prefix).collect(), members.collect())?;
        Ok(if has_shown { Basis::Inferred } else { Basis::Unknown })
    }

    /// Lists the local subnets with the most flows, the busiest first.
    fn subnets_seen(&self) -> Vec<SubnetSeen> {
        let mut blocks: BTreeMap<Prefix, SubnetSeen> = BTreeMap::new();
        for local in self.0.values() {
            let block = around(local.ip);
            let new =
                || SubnetSeen { cidr: block.to_string(), machines: 0, flows: 0, looks_like_apim: false, why: None };
            let seen = blocks.entry(block).or_insert_with(new);
            seen.machines += 1;
            seen.flows += local.tuples;
            if let (Some(shown), false) = (&local.shown, seen.looks_like_apim) {
                seen.looks_like_apim = true;
                seen.why = Some(shown.sentence(local.ip));
            }
        }
        let mut seen: Vec<SubnetSeen> = blocks.into_values().collect();
        seen.sort_by_key(|subnet| std::cmp::Reverse(subnet.flows));
        seen.truncate(SEEN);
        seen
    }
}

impl Shown {
    fn sentence(&self, ip: IpAddr) -> String {
        let port = self.port.map(|port| format!(" on port {port}")).unwrap_or_default();
        match self.by {
            Sign::Probed => format!("the load balancer of Azure probes {ip}{port}"),
            Sign::Called => format!("the control plane of API Management calls {ip}{port}"),
            Sign::Answers => format!("{ip} answers{port}"),
        }
    }
}
