//! Fixes everything before the first byte: takes a plan, and returns interfaces, rules, and streams of flows per rule.
//! Knows neither times nor formats.

use std::net::Ipv4Addr;
use std::ops::{Range, RangeInclusive};

use super::addresses::{Addresses, Pool};
use super::text::{below, hash, mix};
use super::{FaultKind, Plan};
use crate::catalog::{Necessity, Requirement, RowDirection, Tag};
use crate::flow::Protocol;
use crate::net::Prefix;

/// Assignment of the tuples of a plan to interfaces and rules.
pub struct Layout<'a> {
    pub plan: &'a Plan,
    /// Interfaces, those of the instance first.
    pub interfaces: Vec<Interface>,
    /// Groups of the instance in record order, then one per far end.
    pub groups: Vec<Group>,
    pub streams: Vec<Stream>,
    /// Sum over all groups.
    pub weight: u64,
    /// Faults in the order of the plan.
    pub faults: Vec<Planting>,
}

pub struct Interface {
    pub address: u32,
    /// Twelve hex digits.
    pub mac: String,
    pub acl: Acl,
    /// Index of its ACL among those of the instance.
    pub acl_nr: u32,
    pub groups: Range<usize>,
    /// Fault that a far end logs; `None` for interfaces of the instance.
    pub far: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Acl {
    Instance,
    FarEnd,
}

/// Flows of one rule in one direction.
#[derive(Debug)]
pub struct Group {
    pub rule: String,
    pub is_outbound: bool,
    pub is_denied: bool,
    pub acl: Acl,
    /// Share of the background; 0 for a rule with only planted flows.
    pub weight: u64,
    /// Indices of streams, each as often as it is drawn; empty without a background.
    pub draws: Vec<u32>,
}

/// Background flows of one kind.
#[derive(Clone)]
pub struct Stream {
    pub peers: Peers,
    pub services: Vec<Service>,
    /// Faults of its requirement.
    faults: Vec<usize>,
    weight: u64,
    group: usize,
}

/// Destination of a flow.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    pub port: u16,
    pub is_udp: bool,
}

#[derive(Clone)]
pub enum Peers {
    Pool(Pool),
    /// The other interfaces of the instance; at least one.
    Neighbours,
}

/// Data of a fault's attempts.
pub struct Planting {
    pub peers: Peers,
    pub services: Vec<Service>,
    /// Direction as the instance sees it.
    pub is_outbound: bool,
    pub deny_group: usize,
    pub allow_group: usize,
    /// No two faults share a source port, so that each five-tuple belongs to one fault.
    pub source_ports: RangeInclusive<u16>,
    pub far_address: u32,
}

/// Number of entries that a random byte selects a stream from.
const DRAWS: u64 = 256;
const PER_SUBNET: u32 = 250;
/// Denied background tuples in thousandths: inbound, outbound.
const DENIED: [u64; 2] = [90, 30];
/// Ports of scanners besides high ports, and of stray calls. Ports named by a requirement are left out.
const SCANNED: [u16; 14] = [22, 23, 3389, 5900, 8080, 445, 22, 23, 8443, 2375, 21, 9200, 5060, 27017];
const STRAY: [u16; 8] = [25, 8443, 4444, 6667, 3128, 9001, 5985, 1080];
const EMPTY: Group = Group {
    rule: String::new(),
    is_outbound: false,
    is_denied: false,
    acl: Acl::Instance,
    weight: 0,
    draws: Vec::new(),
};
/// Salt that separates the choice of a local address from other random choices of a flow.
const OWN: u64 = 0x006f_776e;
/// Dynamic ports, as systems use them for outgoing calls.
const DYNAMIC: Range<u32> = 49_152..65_536;

/// Number of the instance's subnets in 10.20.0.0/16. Other subnets of the network follow there, and the rest are in
/// 10.21.0.0/16.
const SUBNETS: u32 = 8;

pub fn subnets(addresses: u32) -> Vec<Prefix> {
    let first = |nr: u32| Ipv4Addr::from(address(nr) & 0xffff_ff00);
    (0..addresses).step_by(PER_SUBNET as usize).filter_map(|nr| Prefix::around(first(nr).into(), 24)).collect()
}

/// Returns the instance's address with this number. Interfaces take them in order.
pub fn address(nr: u32) -> u32 {
    let last = 4 + (nr % PER_SUBNET) as u8;
    match nr / PER_SUBNET {
        subnet if subnet < SUBNETS => u32::from_be_bytes([10, 20, 1 + subnet as u8, last]),
        subnet => u32::from_be_bytes([10, 21, (subnet - SUBNETS) as u8, last]),
    }
}

fn mac(nr: u32) -> String {
    // The factor is odd, so no two results are equal.
    format!("000D3A{:06X}", nr.wrapping_mul(0x9e_3779).wrapping_add(0x5b_2c41) & 0xff_ffff)
}

impl<'a> Layout<'a> {
    pub fn new(plan: &'a Plan) -> Self {
        let mut layout = Self {
            plan,
            interfaces: Vec::new(),
            groups: Vec::new(),
            streams: Vec::new(),
            weight: 0,
            faults: Vec::new(),
        };
        let addresses = Addresses::new(&plan.requirements, plan.service_tags.as_ref(), plan.variety.remote_addresses);
        layout.add_healthy(&addresses);
        layout.add_noise(&addresses);
        layout.add_rules();
        layout.add_faults(&addresses);
        layout.sort_groups();
        layout.add_draws();
        layout.add_interfaces();
        layout
    }

    /// Returns whether a stream has no flows in an hour.
    pub fn is_muted(&self, stream: &Stream, hour: u32) -> bool {
        stream.faults.iter().any(|&fault| self.plan.faults[fault].mutes(hour))
    }

    /// Draws the other end of a flow of the interface with this number; `bits` are random.
    #[inline]
    pub fn peer(&self, peers: &Peers, interface: u32, bits: u64) -> u32 {
        match peers {
            Peers::Pool(pool) => pool.pick(bits),
            Peers::Neighbours => {
                let count = self.plan.interfaces;
                address((interface + 1 + (bits >> 32) as u32 % (count - 1)) % count)
            }
        }
    }

    /// Returns an address of the interface with this number: its only one, or one of several.
    #[inline]
    pub fn own_address(&self, interface: u32, bits: u64) -> u32 {
        let count = self.plan.interfaces;
        let own = (self.plan.local_addresses() - interface).div_ceil(count);
        match own {
            1 => self.interfaces[interface as usize].address,
            own => address(interface + count * below(own.into(), mix(bits ^ OWN)) as u32),
        }
    }

    fn seed(&self, what: u64) -> u64 {
        hash(&[self.plan.seed, 0, what])
    }

    /// Adds the calls of every required row and of every row with a fault, and the gateway's own calls.
    fn add_healthy(&mut self, addresses: &Addresses) {
        for (nr, row) in self.plan.requirements.iter().enumerate() {
            let of_row = |fault: &usize| self.plan.faults[*fault].requirement.id == row.id;
            let faults: Vec<usize> = (0..self.plan.faults.len()).filter(of_row).collect();
            let is_used = row.analyzed && (row.necessity == Necessity::Required || !faults.is_empty());
            if !is_used || row.direction == RowDirection::None {
                continue;
            }
            let group = self.group(allowing_rule(row), is_outbound(row), false, Acl::Instance);
            let peers = self.peers(row, addresses, nr as u64);
            self.streams.push(Stream { peers, services: services(row), faults, weight: weight(row), group });
        }
        let group = self.group("DefaultRule_AllowVnetOutBound", true, false, Acl::Instance);
        let peers = Peers::Pool(addresses.backends(self.seed(1_000)));
        let services = tcp(&[443, 8443]);
        self.streams.push(Stream { peers, services, faults: Vec::new(), weight: 150, group });
    }

    fn peers(&self, row: &Requirement, addresses: &Addresses, nr: u64) -> Peers {
        let is_between = matches!(row.direction, RowDirection::Both) || *row.peer_tag() == Tag::Subnet;
        if is_between && self.plan.interfaces > 1 {
            return Peers::Neighbours;
        }
        Peers::Pool(addresses.pool(row.peer_tag(), self.seed(nr)))
    }

    /// Adds denied flows without meaning. Rules that deny planted flows do not deny these.
    fn add_noise(&mut self, addresses: &Addresses) {
        let healthy: u64 = self.streams.iter().map(|stream| stream.weight).sum();
        let denied = match self.plan.variety.denied_percent {
            Some(percent) => [u64::from(percent) * 10 * 3 / 4, u64::from(percent) * 10 / 4],
            None => DENIED,
        };
        self.streams.iter_mut().for_each(|stream| stream.weight *= 1_000 - denied.iter().sum::<u64>());
        let is_named = |port: u16| self.plan.requirements.iter().any(|row| row.destination_ports.contains(port));
        let seed = self.seed(1_001);
        let half = DRAWS as usize / 2;
        let high = (0..half as u64).map(|nr| 7_000 + (hash(&[seed, nr]) % 32_768) as u16);
        let unnamed = |ports: Vec<u16>| {
            let left: Vec<u16> = ports.iter().copied().filter(|port| !is_named(*port)).collect();
            tcp(if left.is_empty() { &ports } else { &left })
        };
        let (inbound, outbound) = match self.plan.variety.ports {
            Some(ports) => (many_ports(ports), many_ports(ports)),
            None => (unnamed(SCANNED.into_iter().cycle().take(half).chain(high).collect()), unnamed(STRAY.to_vec())),
        };
        let rule = self.untaken("DefaultRule_DenyAllInBound", "UserRule_deny-others-in");
        let group = self.group(&rule, false, true, Acl::Instance);
        let peers = Peers::Pool(addresses.scanners());
        let weight = healthy * denied[0];
        self.streams.push(Stream { peers, services: inbound, faults: Vec::new(), weight, group });
        let rule = self.untaken("UserRule_deny-stray-out", "UserRule_deny-others-out");
        let group = self.group(&rule, true, true, Acl::Instance);
        let peers = Peers::Pool(addresses.clients(self.seed(1_002)));
        let weight = healthy * denied[1];
        self.streams.push(Stream { peers, services: outbound, faults: Vec::new(), weight, group });
    }

    /// Splits each rule of ordinary traffic into several, until there are as many as planned.
    fn add_rules(&mut self) {
        let own = self.groups.len() as u32;
        let Some(wanted) = self.plan.variety.rules.filter(|&wanted| wanted > own) else { return };
        let streams = std::mem::take(&mut self.streams);
        let mut parts = vec![Vec::new(); own as usize];
        for (at, parts) in parts.iter_mut().enumerate() {
            let more = (wanted - own) / own + u32::from((at as u32) < (wanted - own) % own);
            parts.push(at);
            for nr in 0..more {
                let Group { rule, is_outbound, is_denied, acl, .. } = &self.groups[at];
                let group = Group {
                    rule: format!("{rule}-{nr}"),
                    is_outbound: *is_outbound,
                    is_denied: *is_denied,
                    acl: *acl,
                    ..EMPTY
                };
                self.groups.push(group);
                parts.push(self.groups.len() - 1);
            }
        }
        let most = parts.iter().map(Vec::len).max().unwrap_or(1) as u64;
        for stream in streams {
            let parts = &parts[stream.group];
            // Weights are integers, and each part has the same.
            let weight = stream.weight * most / parts.len() as u64;
            let of = |&group: &usize| Stream { group, weight, ..stream.clone() };
            self.streams.extend(parts.iter().map(of));
        }
    }

    /// Returns the first of `name`, `other`, `other-2` and so on that no fault uses.
    fn untaken(&self, name: &str, other: &str) -> String {
        let is_taken = |name: &str| self.plan.faults.iter().any(|fault| fault.rule.as_deref() == Some(name));
        let numbered = (2..).map(|nr| format!("{other}-{nr}"));
        let mut names = [name.to_owned(), other.to_owned()].into_iter().chain(numbered);
        names.find(|name| !is_taken(name)).unwrap_or_default()
    }

    fn add_faults(&mut self, addresses: &Addresses) {
        let width = (DYNAMIC.len() / self.plan.faults.len().max(1)).max(1) as u32;
        for (nr, fault) in self.plan.faults.iter().enumerate() {
            let row = &fault.requirement;
            let is_outbound = is_outbound(row);
            let usual = allowing_rule(row);
            let rule = fault.rule.as_deref().unwrap_or(usual);
            let is_unanswered = fault.kind == FaultKind::Unanswered;
            let allowing = if is_unanswered { rule } else { usual };
            let allow_group = self.group(allowing, is_outbound, false, Acl::Instance);
            let deny_group = match fault.kind {
                FaultKind::Unanswered => allow_group,
                FaultKind::FarEnd => self.group(rule, false, true, Acl::FarEnd),
                _ => self.group(rule, is_outbound, true, Acl::Instance),
            };
            let peers = match fault.kind {
                FaultKind::Scanners => Peers::Pool(addresses.scanners()),
                _ => self.peers(row, addresses, 2_000 + nr as u64),
            };
            let mut services = services(row);
            services.retain(|service| !(is_unanswered && service.is_udp));
            let first = DYNAMIC.start + nr as u32 * width;
            let last_octet = 4 + (nr as u32 % PER_SUBNET) as u8;
            let far_address = match (row.peer_tag(), &peers) {
                (Tag::Named(_) | Tag::Internet, Peers::Pool(pool)) => pool.pick(self.seed(3_000 + nr as u64)),
                _ => u32::from_be_bytes([10, 20, 9, last_octet]),
            };
            let source_ports = first as u16..=(first + width - 1) as u16;
            self.faults.push(Planting {
                peers,
                services,
                is_outbound,
                deny_group,
                allow_group,
                source_ports,
                far_address,
            });
        }
    }

    /// Returns the group of a rule, and adds it if it is new. Rules of far ends are never shared.
    fn group(&mut self, rule: &str, is_outbound: bool, is_denied: bool, acl: Acl) -> usize {
        let is_it = |group: &Group| {
            group.rule == rule && (group.is_outbound, group.is_denied) == (is_outbound, is_denied) && group.acl == acl
        };
        let known = self.groups.iter().position(is_it).filter(|_| acl == Acl::Instance);
        known.unwrap_or_else(|| {
            let rule = rule.to_owned();
            self.groups.push(Group { rule, is_outbound, is_denied, acl, weight: 0, draws: Vec::new() });
            self.groups.len() - 1
        })
    }

    /// Sorts groups: those of the instance first, then outbound ones, then allowed ones.
    fn sort_groups(&mut self) {
        let mut order: Vec<usize> = (0..self.groups.len()).collect();
        order.sort_by_key(|&at| {
            let group = &self.groups[at];
            (group.acl, !group.is_outbound, group.is_denied)
        });
        let mut place = vec![0; order.len()];
        order.iter().enumerate().for_each(|(new, &old)| place[old] = new);
        let mut old: Vec<Option<Group>> = self.groups.drain(..).map(Some).collect();
        self.groups = order.iter().filter_map(|&at| old[at].take()).collect();
        self.streams.iter_mut().for_each(|stream| stream.group = place[stream.group]);
        for fault in &mut self.faults {
            (fault.deny_group, fault.allow_group) = (place[fault.deny_group], place[fault.allow_group]);
        }
    }

    fn add_draws(&mut self) {
        let mut own = vec![Vec::new(); self.groups.len()];
        self.streams.iter().enumerate().for_each(|(nr, stream)| own[stream.group].push(nr));
        for (group, own) in self.groups.iter_mut().zip(own) {
            group.weight = own.iter().map(|&nr| self.streams[nr].weight).sum();
            let mut passed = 0;
            for nr in own {
                passed += self.streams[nr].weight;
                group.draws.resize((passed * DRAWS / group.weight) as usize, nr as u32);
            }
        }
        self.weight = self.groups.iter().map(|group| group.weight).sum();
    }

    fn add_interfaces(&mut self) {
        let own = self.groups.iter().filter(|group| group.acl == Acl::Instance).count();
        for nr in 0..self.plan.interfaces {
            let (address, mac) = (address(nr), mac(nr));
            let acl_nr = nr % self.plan.variety.acls.unwrap_or(1);
            self.interfaces.push(Interface { address, mac, acl: Acl::Instance, acl_nr, groups: 0..own, far: None });
        }
        for (fault, planting) in self.faults.iter().enumerate() {
            if self.plan.faults[fault].kind == FaultKind::FarEnd {
                let mac = mac(Plan::MOST_INTERFACES + fault as u32);
                let groups = planting.deny_group..planting.deny_group + 1;
                let address = planting.far_address;
                self.interfaces.push(Interface { address, mac, acl: Acl::FarEnd, acl_nr: 0, groups, far: Some(fault) });
            }
        }
    }
}

/// Returns whether the instance initiates the flows. In rows of both directions it does.
fn is_outbound(row: &Requirement) -> bool {
    row.direction != RowDirection::Inbound
}

/// Returns the weight of a dependency relative to the others.
fn weight(row: &Requirement) -> u64 {
    match (row.direction, row.peer_tag()) {
        (RowDirection::Inbound, Tag::Internet) => 300,
        (RowDirection::Inbound, Tag::VirtualNetwork) => 150,
        (RowDirection::Inbound, Tag::AzureLoadBalancer) => 40,
        (RowDirection::Outbound, Tag::Named(_)) => 70,
        (RowDirection::Outbound, _) => 30,
        _ => 20,
    }
}

fn allowing_rule(row: &Requirement) -> &'static str {
    match (is_outbound(row), row.peer_tag()) {
        (true, Tag::Named(_)) => "UserRule_allow-apim-out",
        (true, Tag::Internet) => "DefaultRule_AllowInternetOutBound",
        (true, _) => "DefaultRule_AllowVnetOutBound",
        (false, Tag::AzureLoadBalancer) => "DefaultRule_AllowAzureLoadBalancerInBound",
        (false, Tag::VirtualNetwork | Tag::Subnet) => "DefaultRule_AllowVnetInBound",
        (false, _) => "UserRule_allow-apim-in",
    }
}

/// Returns the ports of a row by protocol; only a few if it has many.
fn services(row: &Requirement) -> Vec<Service> {
    let ports: Vec<u16> = if row.destination_ports.is_all() {
        vec![443]
    } else {
        row.destination_ports.ranges().iter().flat_map(|&(low, high)| low..=high).take(16).collect()
    };
    let service = |port: u16| row.protocols.iter().map(move |p| Service { port, is_udp: *p == Protocol::UDP });
    ports.into_iter().flat_map(service).collect()
}

/// Returns this many ports, spread over all except port 0.
fn many_ports(count: u32) -> Vec<Service> {
    let port = |nr: u32| 1 + (nr * 40_503 % 65_535) as u16;
    tcp(&(0..count).map(port).collect::<Vec<u16>>())
}

fn tcp(ports: &[u16]) -> Vec<Service> {
    ports.iter().map(|&port| Service { port, is_udp: false }).collect()
}
