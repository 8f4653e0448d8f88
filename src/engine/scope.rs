//! Scope of an analysis: subnets, port table, service tags.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::catalog::{
    AddressNames, Edition, InstanceMode, Necessity, Requirement, Role, RowDirection, ServiceTags, Tag, TagAge, TagTest,
    role,
};
use crate::net::{PortSet, Prefix};

/// Address space of `VirtualNetwork` unless given: RFC 1918, shared and unique local addresses.
const DEFAULT_VNET: [&str; 5] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"];

/// The network and the port table that the logs are compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scope {
    /// Subnets of the API Management instance; empty while they are unknown. Every finding shows one of them.
    subnets: Vec<Prefix>,
    /// Addresses of an inferred scope, each with the index of its subnet in `subnets`; no other address is in scope.
    /// Empty if the subnets were given, because all of their addresses are then in scope.
    members: Vec<(IpAddr, u32)>,
    /// Address space of the tag `VirtualNetwork`.
    vnet: Vec<Prefix>,
    /// Mode of the instance; `None` while it is unknown, so that all rows apply.
    vnet_mode: Option<InstanceMode>,
    /// Mode that the logs of an earlier run proved; `None` if there is none.
    proven_mode: Option<InstanceMode>,
    edition: Edition,
    service_tags: Option<ServiceTags>,
    /// Names of addresses that the user gave.
    names: AddressNames,
}

impl Scope {
    /// Returns a scope without subnets and service tags, in unknown mode, with the private addresses as its network.
    pub fn new(edition: Edition) -> Self {
        let vnet = DEFAULT_VNET.iter().filter_map(|block| block.parse().ok()).collect();
        let (subnets, members, names) = (Vec::new(), Vec::new(), AddressNames::default());
        Self { subnets, members, vnet, vnet_mode: None, proven_mode: None, edition, service_tags: None, names }
    }

    /// Sets the subnets, with all of their addresses. If `subnets` is empty, the analysis infers them from the flows.
    pub fn with_subnets(self, subnets: Vec<Prefix>) -> Self {
        Self { subnets, members: Vec::new(), ..self }
    }

    /// Sets the scope to addresses, each shown under the subnet at its index in `subnets`.
    pub fn with_members(self, subnets: Vec<Prefix>, members: Vec<(IpAddr, u32)>) -> Self {
        Self { subnets, members, ..self }
    }

    /// Sets the address space of the tag `VirtualNetwork`.
    pub fn with_vnet(self, vnet: Vec<Prefix>) -> Self {
        Self { vnet, ..self }
    }

    /// Sets the mode of the instance; `None` if it is unknown.
    pub fn with_vnet_mode(self, vnet_mode: Option<InstanceMode>) -> Self {
        Self { vnet_mode, ..self }
    }

    /// Sets the mode that the logs of an earlier run proved. It counts where the logs of this run show none.
    pub fn with_proven_mode(self, proven_mode: Option<InstanceMode>) -> Self {
        Self { proven_mode, ..self }
    }

    /// Sets the loaded service tags; `None` if no file is loaded.
    pub fn with_service_tags(self, service_tags: Option<ServiceTags>) -> Self {
        Self { service_tags, ..self }
    }

    /// Sets the names of addresses.
    pub fn with_names(self, names: AddressNames) -> Self {
        Self { names, ..self }
    }

    /// Returns the subnets; empty while they are unknown.
    pub fn subnets(&self) -> &[Prefix] {
        &self.subnets
    }

    /// Returns the addresses of an inferred scope, each with the index of its subnet.
    pub fn members(&self) -> &[(IpAddr, u32)] {
        &self.members
    }

    /// Returns the address space of the tag `VirtualNetwork`.
    pub fn vnet(&self) -> &[Prefix] {
        &self.vnet
    }

    /// Returns the mode of the instance; `None` while it is unknown.
    pub fn vnet_mode(&self) -> Option<InstanceMode> {
        self.vnet_mode
    }

    /// Returns the mode that the logs of an earlier run proved.
    pub fn proven_mode(&self) -> Option<InstanceMode> {
        self.proven_mode
    }

    /// Returns the edition of the port table.
    pub fn edition(&self) -> &Edition {
        &self.edition
    }

    /// Returns the loaded service tags.
    pub fn service_tags(&self) -> Option<&ServiceTags> {
        self.service_tags.as_ref()
    }

    /// Returns the names of addresses; empty if none were given.
    pub fn names(&self) -> &AddressNames {
        &self.names
    }

    /// Returns the blocks whose addresses are in scope, each with the index of its subnet in `subnets`.
    pub fn blocks(&self) -> Vec<(Prefix, u32)> {
        if self.members.is_empty() {
            return self.subnets.iter().copied().zip(0..).collect();
        }
        self.members.iter().map(|&(ip, place)| (Prefix::single(ip), place)).collect()
    }

    /// Returns the rows of the edition that flows are matched with.
    pub fn requirements(&self) -> &[Requirement] {
        self.edition.rows()
    }

    /// Returns the row of the edition with this id, if there is one.
    pub fn requirement(&self, id: &str) -> Option<&Requirement> {
        self.requirements().iter().find(|row| row.id == id)
    }

    /// Lists the distinct tags that peers are tested against: the Internet first, then in the order of the rows.
    pub fn tags(&self) -> Vec<Tag> {
        let mut tags = vec![Tag::Internet];
        for tag in self.requirements().iter().map(Requirement::peer_tag) {
            if *tag != Tag::Any && !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        tags
    }

    /// Returns the test for the tags of this edition's rows and for `*`.
    pub fn tag_test(&self) -> TagTest {
        let mut tags = self.tags();
        tags.push(Tag::Any);
        self.test_of(tags)
    }

    /// Returns the test for the tags of all editions.
    pub fn every_tag_test(&self) -> TagTest {
        let mut tags = vec![Tag::Internet, Tag::VirtualNetwork, Tag::AzureLoadBalancer, Tag::Any];
        for tag in self.edition.catalog().rows().iter().map(Requirement::peer_tag) {
            if !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        self.test_of(tags)
    }

    fn test_of(&self, tags: Vec<Tag>) -> TagTest {
        let blocks: Vec<Prefix> = self.blocks().into_iter().map(|(block, _)| block).collect();
        TagTest::new(tags, &blocks, &self.vnet, self.service_tags.as_ref())
    }

    /// Returns all ports that rows name; `*` names none.
    pub fn named_ports(&self, ports: fn(&Requirement) -> &PortSet) -> PortSet {
        let named = self.requirements().iter().map(ports).filter(|set| !set.is_all());
        PortSet::from_ranges(named.flat_map(|set| set.ranges().to_vec()))
    }

    /// Returns the ports that only a named Azure service must reach from outside: those of inbound rows whose source is
    /// a service tag. On ports that the Internet may call, only a required row counts, because every other caller is a
    /// client.
    pub fn guarded_ports(&self) -> PortSet {
        let open = self
            .ports_of(|row| row.direction == RowDirection::Inbound && matches!(row.source, Tag::Internet | Tag::Any));
        let is_guarded = |row: &&Requirement| {
            let is_required = row.necessity == Necessity::Required;
            row.direction == RowDirection::Inbound
                && matches!(row.source, Tag::Named(_))
                && (is_required || row.destination_ports.intersection(&open).ranges().is_empty())
        };
        self.ports_of(is_guarded)
    }

    /// Returns whether a service-tag file is loaded that is recent enough for the flows.
    pub fn has_fresh_tags(&self, last_flow: Option<i64>) -> bool {
        self.service_tags.as_ref().is_some_and(|tags| tags.age_at(last_flow) == TagAge::Fresh)
    }

    /// Lists the service tags of the port table that the loaded file lacks. The list is empty if no file is loaded.
    pub fn lacking_tags(&self) -> Vec<String> {
        let Some(file) = &self.service_tags else { return Vec::new() };
        let tags = self.tags();
        let names = tags.iter().filter_map(|tag| match tag {
            Tag::Named(name) if file.lacks(name) => Some(name.clone()),
            _ => None,
        });
        names.collect()
    }

    /// Returns the ports on which API Management shows itself.
    pub fn telling_ports(&self) -> PortSet {
        self.ports_of(|row| role(&row.id).is_some_and(Role::shows_scope))
    }

    /// Returns the ports of the management endpoint.
    pub fn management_ports(&self) -> PortSet {
        self.ports_of(|row| role(&row.id) == Some(Role::Management))
    }

    /// Returns the ports that clients on the Internet call.
    pub fn client_ports(&self) -> PortSet {
        self.ports_of(|row| role(&row.id) == Some(Role::Client))
    }

    fn ports_of(&self, is_meant: impl FnMut(&&Requirement) -> bool) -> PortSet {
        let rows = self.requirements().iter().filter(is_meant);
        PortSet::from_ranges(rows.flat_map(|row| row.destination_ports.ranges().to_vec()))
    }
}
