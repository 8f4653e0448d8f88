//! Finds the place of addresses relative to the scope.

use std::net::IpAddr;

use crate::catalog::TagTest;
use crate::engine::scope::Scope;
use crate::net::PrefixMap;

/// Lookup of the subnets and tags of addresses, for one scope.
pub struct ScopeLocator {
    /// Subnets of each address in scope, as indices into `subnet_names`.
    subnets: PrefixMap<u32>,
    subnet_names: Vec<String>,
    /// Whether the scope is unknown. The interface that logged a flow is then its local end.
    pub is_open: bool,
    pub tag_test: TagTest,
}

impl ScopeLocator {
    pub fn new(scope: &Scope) -> Self {
        Self {
            subnets: PrefixMap::new(scope.blocks()),
            subnet_names: scope.subnets().iter().map(ToString::to_string).collect(),
            is_open: scope.subnets().is_empty(),
            tag_test: scope.tag_test(),
        }
    }

    /// Returns the subnet that an address in scope is shown under: the most specific given one, or the inferred one.
    pub fn subnet(&self, ip: IpAddr) -> Option<&str> {
        self.subnets.get(ip).first().map(|&i| self.subnet_names[i as usize].as_str())
    }

    /// Returns the key of an address as a local end: the index of its subnet, or its number while the scope is unknown.
    pub fn end(&self, number: u128) -> u128 {
        let subnets = self.subnets.set(self.subnets.find_number(number));
        if self.is_open { number } else { subnets.first().map_or(0, |&place| place.into()) }
    }

    /// Returns the names of the subnets by index.
    pub fn subnet_names(&self) -> &[String] {
        &self.subnet_names
    }

    /// Returns the name of the subnet at an index.
    pub fn subnet_name(&self, place: u128) -> Option<&str> {
        self.subnet_names.get(usize::try_from(place).ok()?).map(String::as_str)
    }

    /// Returns the class of an address: one letter per tag of the test, the Internet first.
    pub fn class(&self, ip: IpAddr) -> &str {
        &self.tag_test.classes()[self.tag_test.find(ip).index()]
    }
}
