//! Says where routes lead the flows to a peer: straight to it, through a firewall or gateway, or nowhere.

use std::cmp::Reverse;

use serde::Serialize;

use super::address::Address;
use super::model::{NextHop, Route, RouteSource};
use super::space::{End, Space};
use crate::catalog::{Tag, is_within};
use crate::names::names;
use crate::net::IpSet;

/// Where routes lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    /// To the peer, over the Internet, Azure's own network or the virtual network.
    Direct,
    /// The routes do not tell.
    Unknown,
    /// Through a firewall, an appliance or a gateway, which may drop the flows.
    Tunnelled,
    /// Nowhere.
    Dropped,
}

names!(Path { Direct = "direct", Unknown = "unknown", Tunnelled = "tunnelled", Dropped = "dropped" });

/// Where routes lead the flows to a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Routing {
    /// The worst of all paths to the peer.
    pub path: Path,
    /// Route that decides; `None` if it is one of Azure that the file does not hold.
    pub route: Option<RouteUse>,
}

/// A route that decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteUse {
    /// Route table; empty for an effective route.
    pub table: String,
    /// Name of the route; may be empty.
    pub name: String,
    /// Destinations of the route.
    pub prefixes: Vec<Address>,
    /// Type of the next hop.
    pub next_hop: String,
}

impl From<&Route> for RouteUse {
    fn from(route: &Route) -> Self {
        Self {
            table: route.table.clone(),
            name: route.name.clone(),
            prefixes: route.prefixes.clone(),
            next_hop: route.next_hop.name().to_owned(),
        }
    }
}

impl NextHop {
    fn path(&self) -> Path {
        match self {
            Self::Internet | Self::Direct(_) => Path::Direct,
            Self::Appliance | Self::Gateway => Path::Tunnelled,
            Self::None => Path::Dropped,
            Self::Other(_) => Path::Unknown,
        }
    }
}

/// How specific the match of a route is: longer prefixes first, then the author, then blocks before tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    bits: u8,
    source: RouteSource,
    kind: u8,
}

impl Space {
    /// Follows the routes to a peer. A peer that no route covers takes Azure's own routes, which are direct.
    pub fn routing(&self, routes: &[Route], peer: &End) -> Routing {
        let mut candidates: Vec<(Rank, &Route, IpSet)> = Vec::new();
        for route in routes.iter().filter(|route| route.is_active) {
            for prefix in &route.prefixes {
                if let Some((kind, covered, bits)) = self.route_cover(prefix, peer) {
                    candidates.push((Rank { bits, source: route.source, kind }, route, covered));
                }
            }
        }
        candidates.sort_by_key(|(rank, ..)| Reverse(*rank));
        let mut left = peer.whole();
        let mut worst: Option<&Route> = None;
        for (_, route, covered) in &candidates {
            if left.intersection(covered).is_empty() {
                continue;
            }
            left = left.difference(covered);
            if worst.is_none_or(|worst| worst.next_hop.path() < route.next_hop.path()) {
                worst = Some(route);
            }
        }
        let is_of_azure =
            worst.is_none() || !left.is_empty() && worst.is_some_and(|route| route.next_hop.path() == Path::Direct);
        match worst {
            Some(route) if !is_of_azure => Routing { path: route.next_hop.path(), route: Some(route.into()) },
            _ => Routing { path: Path::Direct, route: None },
        }
    }

    /// Returns the part of a peer that a route leads to, and how specific the route is.
    fn route_cover(&self, prefix: &Address, peer: &End) -> Option<(u8, IpSet, u8)> {
        let is_named = match (prefix.tag(), &peer.tag) {
            (Some(Tag::Named(outer)), Some(Tag::Named(inner))) => is_within(inner, &outer),
            _ => false,
        };
        if is_named {
            // A tag stands for its prefixes, which are longer than any default route.
            return Some((0, peer.whole(), u8::MAX));
        }
        match (prefix, &peer.addresses) {
            (Address::Block(block), Some(addresses)) => {
                let covered = [*block].into_iter().collect::<IpSet>().intersection(addresses);
                (!covered.is_empty()).then_some((1, covered, block.bits()))
            }
            // Of an unknown peer, only routes for everything are certain, or for each half of it.
            (Address::Block(block), None) if (96..=97).contains(&block.bits()) => Some((1, peer.whole(), block.bits())),
            _ => None,
        }
    }
}
