//! Small tables of the port table and the service tags, which SQL joins with flows.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, StringViewArray, UInt16Array};
use arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::datasource::MemTable;

use crate::catalog::{Necessity, Requirement, Role, RowDirection, RowMode, Tag, role};
use crate::engine::scope::Scope;
use crate::flow::Protocol;
use crate::net::PortSet;

/// Returns the tables of the analysis, each with its name.
pub fn all(scope: &Scope) -> Result<Vec<(&'static str, Arc<MemTable>)>> {
    Ok(vec![
        ("requirements", requirements(scope)?),
        ("requirement_matches", requirement_matches(scope)?),
        ("hint_matches", hint_matches(scope)?),
        ("service_tags", service_tags(scope)?),
    ])
}

/// Returns the tables that user queries see, each with its name.
pub fn shown(scope: &Scope) -> Result<Vec<(&'static str, Arc<MemTable>)>> {
    Ok(vec![
        ("requirements", requirements(scope)?),
        ("requirement_ports", requirement_ports(scope)?),
        ("service_tags", service_tags(scope)?),
    ])
}

fn table(columns: Vec<(&str, ArrayRef)>) -> Result<Arc<MemTable>> {
    let batch = RecordBatch::try_from_iter(columns)?;
    Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
}

fn text<I: AsRef<str>>(values: impl IntoIterator<Item = I>) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values(values))
}

/// `requirements`: the analyzed rows of the edition; `impact` in thousandths.
fn requirements(scope: &Scope) -> Result<Arc<MemTable>> {
    let rows = scope.requirements();
    let column = |value: fn(&Requirement) -> String| text(rows.iter().map(value));
    table(vec![
        ("edition", column(|r| r.edition.clone())),
        ("id", column(|r| r.id.clone())),
        ("direction", column(|r| r.direction.name().to_owned())),
        ("source", column(|r| r.source.name().to_owned())),
        ("destination", column(|r| r.destination.name().to_owned())),
        ("ports", column(|r| r.ports.clone())),
        ("protocol", column(|r| r.protocol_text())),
        ("vnet_mode", column(|r| r.vnet_mode.name().to_owned())),
        ("necessity", column(|r| r.necessity.name().to_owned())),
        ("impact", Arc::new(UInt16Array::from_iter_values(rows.iter().map(|r| r.impact)))),
        ("purpose", column(|r| r.purpose.clone())),
        ("condition", column(|r| r.condition.clone())),
    ])
}

/// One way for a flow to match a row: a direction as the scope sees it, one protocol, one range of ports.
struct Way<'a> {
    row: &'a Requirement,
    direction: &'static str,
    protocol: String,
    ports: (u16, u16),
    src_ports: (u16, u16),
    corrected: bool,
}

/// `requirement_matches`: every way to match a row that applies in the scope's VNet mode.
fn requirement_matches(scope: &Scope) -> Result<Arc<MemTable>> {
    let rows = scope.requirements();
    let ways: Vec<Way> = rows.iter().flat_map(|row| ways(scope, row)).collect();
    let tags = scope.tags();
    // Position of the tag's letter in a peer class, from 1; null for `*`, which holds every address.
    let place = |tag: &Tag| tags.iter().position(|t| t == tag).map(|i| i as i32 + 1);
    let column = |value: fn(&Way) -> String| text(ways.iter().map(value));
    let port = |value: fn(&Way) -> u16| -> ArrayRef { Arc::new(UInt16Array::from_iter_values(ways.iter().map(value))) };
    let flag = |value: fn(&Way) -> bool| -> ArrayRef {
        Arc::new(BooleanArray::from(ways.iter().map(value).collect::<Vec<bool>>()))
    };
    table(vec![
        ("id", column(|w| w.row.id.clone())),
        ("direction", column(|w| w.direction.to_owned())),
        ("protocol", column(|w| w.protocol.clone())),
        ("port_low", port(|w| w.ports.0)),
        ("port_high", port(|w| w.ports.1)),
        ("any_port", flag(|w| w.ports == (0, u16::MAX))),
        ("src_port_low", port(|w| w.src_ports.0)),
        ("src_port_high", port(|w| w.src_ports.1)),
        ("any_src_port", flag(|w| w.src_ports == (0, u16::MAX))),
        ("tag", column(|w| w.row.peer_tag().name().to_owned())),
        ("tag_kind", column(|w| w.row.peer_tag().kind().to_owned())),
        ("tag_place", Arc::new(Int32Array::from_iter(ways.iter().map(|w| place(w.row.peer_tag()))))),
        ("impact", port(|w| w.row.impact)),
        ("is_external_only", flag(|w| w.row.vnet_mode == RowMode::External)),
        ("is_from_internet", flag(|w| w.row.direction == RowDirection::Inbound && w.row.source == Tag::Internet)),
        ("is_corrected", flag(|w| w.corrected)),
        ("is_required", flag(|w| w.row.necessity == Necessity::Required)),
        ("role", Arc::new(StringViewArray::from_iter(ways.iter().map(|w| role(&w.row.id).map(Role::name))))),
        ("shows_scope", flag(|w| role(&w.row.id).is_some_and(Role::shows_scope))),
        ("is_identifying", flag(|w| w.row.is_identifying() && w.row.own_ports().contains(&w.ports))),
    ])
}

/// One way for an outbound flow to match a row, with any source port.
#[derive(Debug)]
pub struct OutboundWay {
    pub protocol: Protocol,
    ports: (u16, u16),
    /// Position of the tag's letter in a peer class, from 0; `None` for `*`.
    tag: Option<usize>,
}

pub fn outbound_ways(scope: &Scope) -> Vec<OutboundWay> {
    let tags = scope.tags();
    let rows = scope.requirements();
    let ways = rows.iter().flat_map(|row| ways(scope, row));
    let outbound = ways.filter(|way| way.direction == "outbound" && way.src_ports == (0, u16::MAX));
    let way = |way: Way| {
        let tag = tags.iter().position(|tag| tag == way.row.peer_tag());
        Some(OutboundWay { protocol: Protocol::from_name(&way.protocol)?, ports: way.ports, tag })
    };
    outbound.filter_map(way).collect()
}

impl OutboundWay {
    /// Returns the ports on which a peer of this class certainly has the row as a candidate: see `candidates.sql`.
    pub fn sure_ports(&self, class: &[u8]) -> Vec<(u16, u16)> {
        match self.tag.map(|place| class.get(place)) {
            None | Some(Some(b'y' | b'u')) => vec![self.ports],
            // On ports 80 and 443 the answer depends on the age of the service-tag file.
            Some(Some(b'l')) => {
                let (low, high) = self.ports;
                [(low, high.min(79)), (low.max(81), high.min(442)), (low.max(444), high)]
                    .into_iter()
                    .filter(|(low, high)| low <= high)
                    .collect()
            }
            Some(_) => Vec::new(),
        }
    }
}

/// `requirement_ports`: the directions, protocols and ports of each row that applies in the scope's VNet mode.
fn requirement_ports(scope: &Scope) -> Result<Arc<MemTable>> {
    let rows = scope.requirements();
    let mut ways: Vec<_> = rows.iter().flat_map(|row| ways(scope, row)).collect();
    ways.sort_by(|a, b| {
        (&a.row.id, a.direction, &a.protocol, a.ports).cmp(&(&b.row.id, b.direction, &b.protocol, b.ports))
    });
    ways.dedup_by(|a, b| {
        (&a.row.id, a.direction, &a.protocol, a.ports) == (&b.row.id, b.direction, &b.protocol, b.ports)
    });
    table(vec![
        ("id", text(ways.iter().map(|w| &w.row.id))),
        ("direction", text(ways.iter().map(|w| w.direction))),
        ("protocol", text(ways.iter().map(|w| &w.protocol))),
        ("port_low", Arc::new(UInt16Array::from_iter_values(ways.iter().map(|w| w.ports.0)))),
        ("port_high", Arc::new(UInt16Array::from_iter_values(ways.iter().map(|w| w.ports.1)))),
    ])
}

/// `hint_matches`: possible explanations of a denied flow without a requirement. Each is a note of the edition
/// (`note`), a row of another edition (`other-edition`), or a row of the edition (`row`). A `row` fits a service at a
/// private address.
fn hint_matches(scope: &Scope) -> Result<Arc<MemTable>> {
    let catalog = scope.edition().catalog();
    let editions = catalog.editions();
    let own = editions.iter().position(|e| e.id == scope.edition().id()).unwrap_or_default();
    // Older editions rank first, and the closest of them before the others.
    let rank = |row: &Requirement| {
        let at = editions.iter().position(|e| e.id == row.edition).unwrap_or_default();
        if at <= own { own - at } else { editions.len() + at }
    };
    let kind = |row: &Requirement| match (row.edition == scope.edition().id(), row.analyzed) {
        (true, true) => Some("row"),
        (true, false) => Some("note"),
        (false, true) => Some("other-edition"),
        (false, false) => None,
    };
    let known = catalog.rows().iter().filter_map(|row| Some((kind(row)?, row)));
    let ways: Vec<(&str, Way)> =
        known.flat_map(|(kind, row)| ways(scope, row).into_iter().map(move |w| (kind, w))).collect();
    let column = |value: fn(&Way) -> String| text(ways.iter().map(|(_, way)| value(way)));
    let port = |value: fn(&Way) -> u16| -> ArrayRef {
        Arc::new(UInt16Array::from_iter_values(ways.iter().map(|(_, way)| value(way))))
    };
    let is_required: Vec<bool> = ways.iter().map(|(_, way)| way.row.necessity == Necessity::Required).collect();
    let is_required: ArrayRef = Arc::new(BooleanArray::from(is_required));
    table(vec![
        ("kind", text(ways.iter().map(|(kind, _)| kind))),
        ("edition", column(|w| w.row.edition.clone())),
        ("edition_rank", Arc::new(Int32Array::from_iter_values(ways.iter().map(|(_, way)| rank(way.row) as i32)))),
        ("id", column(|w| w.row.id.clone())),
        ("purpose", column(|w| w.row.purpose.clone())),
        ("direction", column(|w| w.direction.to_owned())),
        ("protocol", column(|w| w.protocol.clone())),
        ("port_low", port(|w| w.ports.0)),
        ("port_high", port(|w| w.ports.1)),
        ("tag", column(|w| w.row.peer_tag().name().to_owned())),
        ("tag_kind", column(|w| w.row.peer_tag().kind().to_owned())),
        ("is_required", is_required),
    ])
}

fn ways<'a>(scope: &Scope, row: &'a Requirement) -> Vec<Way<'a>> {
    let directions: &[&'static str] = match row.direction {
        RowDirection::Both => &["outbound", "inbound", "internal"],
        RowDirection::Outbound => &["outbound"],
        RowDirection::Inbound if row.source == Tag::VirtualNetwork => &["inbound", "internal"],
        RowDirection::Inbound => &["inbound"],
        RowDirection::None => &[],
    };
    let applies = row.applies_in(scope.vnet_mode());
    let ranges = |set: &PortSet| set.ranges().to_vec();
    let mut ways = Vec::new();
    for fit in scope.edition().catalog().matches(row).into_iter().filter(|_| applies) {
        for &direction in directions {
            for &ports in &ranges(&row.destination_ports) {
                for &src_ports in &ranges(&fit.source_ports) {
                    let protocol = fit.protocol.name().into_owned();
                    ways.push(Way { row, direction, protocol, ports, src_ports, corrected: fit.corrected });
                }
            }
        }
    }
    ways
}

/// `service_tags`: the loaded file; empty if none is loaded.
fn service_tags(scope: &Scope) -> Result<Arc<MemTable>> {
    let rows = || scope.service_tags().into_iter().flat_map(|tags| tags.rows());
    table(vec![
        ("tag", text(rows().map(|r| r.tag))),
        ("prefix", text(rows().map(|r| r.prefix.to_string()))),
        ("region", text(rows().map(|r| r.region))),
    ])
}
