//! Microsoft's `ServiceTags_*.json`: which prefixes a service tag stands for.

use std::collections::HashMap;
use std::net::IpAddr;

use serde::Deserialize;

use crate::net::{Prefix, PrefixError, PrefixMap, SetId};

/// A loaded file. Names are matched without case.
#[derive(Debug, Clone)]
pub struct ServiceTags {
    pub cloud: String,
    pub change_number: u64,
    /// When it was published, or else written here; ms since 1970. Not in the file: whoever opens it knows.
    pub as_of: Option<i64>,
    tags: Vec<ServiceTag>,
    /// Lower-cased name to place in `tags`.
    by_name: HashMap<String, usize>,
    /// From an address to its tags, most specific first.
    map: PrefixMap<u32>,
}

#[derive(Debug, Clone)]
struct ServiceTag {
    name: String,
    region: String,
    prefixes: Vec<Prefix>,
}

/// One row of the table `service_tags`.
#[derive(Debug, Clone, Copy)]
pub struct TagPrefix<'a> {
    pub tag: &'a str,
    pub prefix: Prefix,
    pub region: &'a str,
}

#[derive(Debug, thiserror::Error)]
pub enum ServiceTagsError {
    #[error("this is no ServiceTags_*.json as Microsoft publishes it: {0}")]
    Json(#[from] serde_json::Error),
    #[error("service tag '{tag}': {source}")]
    Prefix { tag: String, source: PrefixError },
}

#[derive(Deserialize)]
struct File {
    cloud: String,
    #[serde(rename = "changeNumber")]
    change_number: u64,
    values: Vec<Value>,
}

#[derive(Deserialize)]
struct Value {
    name: String,
    properties: Properties,
}

#[derive(Deserialize)]
struct Properties {
    #[serde(default)]
    region: String,
    #[serde(rename = "addressPrefixes")]
    address_prefixes: Vec<String>,
}

/// Holds nearly every address, so every other tag says more.
const LEAST_SPECIFIC: &str = "azurecloud";

impl ServiceTags {
    pub fn from_json(json: &[u8]) -> Result<Self, ServiceTagsError> {
        let file: File = serde_json::from_slice(json)?;
        let mut tags = Vec::with_capacity(file.values.len());
        for Value { name, properties } in file.values {
            let prefixes: Result<Vec<Prefix>, _> = properties.address_prefixes.iter().map(|p| p.parse()).collect();
            let prefixes = prefixes.map_err(|source| ServiceTagsError::Prefix { tag: name.clone(), source })?;
            tags.push(ServiceTag { name, region: properties.region, prefixes });
        }
        // The map keeps this order among equal prefixes: services before the cloud, regions before the world.
        tags.sort_by_cached_key(|tag| {
            let name = tag.name.to_ascii_lowercase();
            (name.starts_with(LEAST_SPECIFIC), tag.region.is_empty(), name)
        });
        let by_name = tags.iter().enumerate().map(|(i, tag)| (tag.name.to_ascii_lowercase(), i)).collect();
        let entries = tags.iter().enumerate().flat_map(|(i, tag)| tag.prefixes.iter().map(move |&p| (p, i as u32)));
        let map = PrefixMap::new(entries);
        Ok(Self { cloud: file.cloud, change_number: file.change_number, as_of: None, tags, by_name, map })
    }

    /// How many tags the file has.
    pub fn len(&self) -> usize {
        self.tags.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// The prefixes of a tag, or `None` when the file lacks the name.
    pub fn prefixes(&self, name: &str) -> Option<&[Prefix]> {
        self.by_name.get(&name.to_ascii_lowercase()).map(|&i| self.tags[i].prefixes.as_slice())
    }

    /// Every tag that holds `ip`: services before AzureCloud, then the longer prefix, then a region before the world.
    pub fn tags(&self, ip: IpAddr) -> Vec<&str> {
        self.named(self.map.get(ip))
    }

    /// The set of tags that hold the address at a place of the common number line.
    pub fn find(&self, number: u128) -> SetId {
        self.map.find_number(number)
    }

    /// Every distinct set, in the order of their ids, as [`Self::tags`] has them.
    pub fn sets(&self) -> impl Iterator<Item = Vec<&str>> {
        self.map.sets().map(|set| self.named(set))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().map(|tag| tag.name.as_str())
    }

    fn named(&self, set: &[u32]) -> Vec<&str> {
        let mut tags: Vec<&str> = set.iter().map(|&i| self.tags[i as usize].name.as_str()).collect();
        tags.sort_by_key(|name| {
            name.get(..LEAST_SPECIFIC.len()).is_some_and(|n| n.eq_ignore_ascii_case(LEAST_SPECIFIC))
        });
        tags
    }

    /// The most specific tag of `ip`.
    pub fn tag(&self, ip: IpAddr) -> Option<&str> {
        self.tags(ip).first().copied()
    }

    pub fn rows(&self) -> impl Iterator<Item = TagPrefix<'_>> {
        self.tags.iter().flat_map(|tag| {
            tag.prefixes.iter().map(|&prefix| TagPrefix { tag: &tag.name, prefix, region: &tag.region })
        })
    }
}
