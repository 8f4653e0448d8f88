//! Where addresses lie relative to the scope.

use std::net::IpAddr;

use crate::catalog::TagTest;
use crate::engine::scope::Scope;
use crate::net::PrefixMap;

pub struct Places {
    /// From an address in scope to its subnets, as places in `subnet_names`.
    subnets: PrefixMap<u32>,
    subnet_names: Vec<String>,
    /// The scope is not known yet: the interface that logged a flow is its local end.
    pub is_open: bool,
    pub tag_test: TagTest,
}

impl Places {
    pub fn new(scope: &Scope) -> Self {
        Self {
            subnets: PrefixMap::new(scope.blocks()),
            subnet_names: scope.subnets().iter().map(ToString::to_string).collect(),
            is_open: scope.subnets().is_empty(),
            tag_test: scope.tag_test(),
        }
    }

    /// The subnet that an address in scope is shown under: the most specific of those given, or the inferred one.
    pub fn subnet(&self, ip: IpAddr) -> Option<&str> {
        self.subnets.get(ip).first().map(|&i| self.subnet_names[i as usize].as_str())
    }

    /// The local end of contacts of an address: the place of its subnet, or its position while the scope is not known.
    pub fn end(&self, number: u128) -> u128 {
        let subnets = self.subnets.set(self.subnets.find_number(number));
        if self.is_open { number } else { subnets.first().map_or(0, |&place| place.into()) }
    }

    /// By their places.
    pub fn subnet_names(&self) -> &[String] {
        &self.subnet_names
    }

    /// The name of a subnet by its place.
    pub fn subnet_name(&self, place: u128) -> Option<&str> {
        self.subnet_names.get(usize::try_from(place).ok()?).map(String::as_str)
    }

    /// One letter per tag that rows ask for, and the Internet first.
    pub fn class(&self, ip: IpAddr) -> &str {
        &self.tag_test.classes()[self.tag_test.find(ip).index()]
    }
}
