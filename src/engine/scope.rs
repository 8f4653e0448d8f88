//! What the logs are held against: subnets, the port table, service tags.

use std::net::IpAddr;

use crate::catalog::{
    Catalog, CatalogError, Necessity, Requirement, Role, RowDirection, ServiceTags, Tag, TagAge, TagTest, VnetMode,
    role,
};
use crate::net::{PortSet, Prefix};

/// What the logs are held against.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The subnets of the API Management instance; none while they are not known. Flows show one of them each.
    pub subnets: Vec<Prefix>,
    /// Addresses of an inferred scope, each with the place of its subnet in `subnets`: no other address is in scope.
    /// Empty where the subnets were given, which are in scope with all of their addresses.
    pub members: Vec<(IpAddr, u32)>,
    /// What the tag `VirtualNetwork` stands for here.
    pub vnet: Vec<Prefix>,
    /// `None` while unknown: all rows apply.
    pub vnet_mode: Option<VnetMode>,
    pub catalog: Catalog,
    /// An edition of the catalog; [`Self::check`] makes sure of it before a session opens.
    pub edition: String,
    pub service_tags: Option<ServiceTags>,
}

impl Scope {
    /// Refuses an edition that the catalog does not have; the error names those that it has.
    pub fn check(&self) -> Result<(), CatalogError> {
        self.catalog.analyzed(&self.edition).map(drop)
    }

    /// The blocks whose addresses are in scope, each with the place of its subnet in `subnets`.
    pub fn blocks(&self) -> Vec<(Prefix, u32)> {
        if self.members.is_empty() {
            return self.subnets.iter().copied().zip(0..).collect();
        }
        self.members.iter().map(|&(ip, place)| (Prefix::single(ip), place)).collect()
    }

    /// The rows of the edition that flows are matched with.
    pub fn requirements(&self) -> Vec<&Requirement> {
        self.catalog.rows().iter().filter(|row| row.analyzed && row.edition == self.edition).collect()
    }

    /// The tags that peers are tested against, each once: the Internet, then in the order of the rows.
    pub fn tags(&self) -> Vec<Tag> {
        let mut tags = vec![Tag::Internet];
        for tag in self.requirements().into_iter().map(Requirement::peer_tag) {
            if *tag != Tag::Any && !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        tags
    }

    pub fn tag_test(&self) -> TagTest {
        let mut tags = self.tags();
        tags.push(Tag::Any);
        self.test_of(tags)
    }

    /// As [`Self::tag_test`], for the tags of all editions.
    pub fn every_tag_test(&self) -> TagTest {
        let mut tags = vec![Tag::Internet, Tag::VirtualNetwork, Tag::AzureLoadBalancer, Tag::Any];
        for tag in self.catalog.rows().iter().map(Requirement::peer_tag) {
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

    /// All ports that rows name; `*` names none.
    pub fn named_ports(&self, ports: fn(&Requirement) -> &PortSet) -> PortSet {
        let named = self.requirements().into_iter().map(ports).filter(|set| !set.is_all());
        PortSet::from_ranges(named.flat_map(|set| set.ranges().to_vec()))
    }

    /// The ports that only a named Azure service must reach from outside: those of inbound rows whose source is a service tag.
    /// Where the Internet may call, only a required row counts: whoever else calls is its client, and there are many.
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

    /// Whether a file is loaded that is recent enough for the flows.
    pub fn has_fresh_tags(&self, last_flow: Option<i64>) -> bool {
        self.service_tags.as_ref().is_some_and(|tags| tags.age_at(last_flow) == TagAge::Fresh)
    }

    /// The service tags of the port table that the loaded file lacks; none without a file.
    pub fn lacking_tags(&self) -> Vec<String> {
        let Some(file) = &self.service_tags else { return Vec::new() };
        let tags = self.tags();
        let names = tags.iter().filter_map(|tag| match tag {
            Tag::Named(name) if file.lacks(name) => Some(name.clone()),
            _ => None,
        });
        names.collect()
    }

    /// The ports of the management endpoint.
    pub fn management_ports(&self) -> PortSet {
        self.ports_of(|row| role(&row.id) == Some(Role::Management))
    }

    /// The ports that clients on the Internet call.
    pub fn client_ports(&self) -> PortSet {
        self.ports_of(|row| role(&row.id) == Some(Role::Client))
    }

    fn ports_of(&self, is_meant: impl FnMut(&&Requirement) -> bool) -> PortSet {
        let rows = self.requirements().into_iter().filter(is_meant);
        PortSet::from_ranges(rows.flat_map(|row| row.destination_ports.ranges().to_vec()))
    }
}
