//! What the logs are held against: subnets, the port table, service tags.

use std::net::IpAddr;

use crate::catalog::{Catalog, Requirement, ServiceTags, Tag, TagTest, VnetMode};
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
    /// An edition of the catalog.
    pub edition: String,
    pub service_tags: Option<ServiceTags>,
}

impl Scope {
    /// The blocks whose addresses are in scope, each with the place of its subnet in `subnets`.
    pub fn blocks(&self) -> Vec<(Prefix, u32)> {
        if self.members.is_empty() {
            return self.subnets.iter().copied().zip(0..).collect();
        }
        self.members.iter().map(|&(ip, place)| (Prefix::single(ip), place)).collect()
    }

    /// The rows of the edition that flows are matched with.
    pub fn requirements(&self) -> Vec<&Requirement> {
        self.catalog.analyzed(&self.edition).unwrap_or_default()
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
}
