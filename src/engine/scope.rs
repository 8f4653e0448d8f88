//! What the logs are held against: subnets, the port table, service tags.

use crate::catalog::{Catalog, CatalogError, Requirement, ServiceTags, Tag, TagTest, VnetMode};
use crate::net::{PortSet, Prefix};

/// What the logs are held against.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The subnets of the API Management instance; none while they are not known.
    pub subnets: Vec<Prefix>,
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
        TagTest::new(tags, &self.subnets, &self.vnet, self.service_tags.as_ref())
    }

    /// As [`Self::tag_test`], for the tags of all editions.
    pub fn every_tag_test(&self) -> TagTest {
        let mut tags = vec![Tag::Internet, Tag::VirtualNetwork, Tag::AzureLoadBalancer, Tag::Any];
        for tag in self.catalog.rows().iter().map(Requirement::peer_tag) {
            if !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        TagTest::new(tags, &self.subnets, &self.vnet, self.service_tags.as_ref())
    }

    /// All ports that rows name; `*` names none.
    pub fn named_ports(&self, ports: fn(&Requirement) -> &PortSet) -> PortSet {
        let named = self.requirements().into_iter().map(ports).filter(|set| !set.is_all());
        PortSet::from_ranges(named.flat_map(|set| set.ranges().to_vec()))
    }
}
