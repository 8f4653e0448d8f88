//! Rules and routes as they are configured: network security groups, admin rules of network managers, route tables,
//! effective rules. Reads the files that Azure's tools write, and decides what the rules do with flows. Knows no flow logs
//! and no SQL.

mod address;
mod answer;
mod change;
mod default_rules;
mod error;
mod evaluate;
mod json;
mod model;
mod near_miss;
mod needs;
mod parse;
mod parts;
mod priority;
mod routing;
mod shadow;
mod space;

pub use address::{Address, listed};
pub use answer::{Decision, Effect, Evaluation, Question, RuleRef, Verdict};
pub use change::{Planned, Step};
pub use error::ExportError;
pub(crate) use error::Reason;
pub(crate) use json::{document, document_or_lines};
pub use model::{Access, Acl, Layer, NextHop, Origin, Route, RouteSource, Rule, RuleProtocol, RuleState, Shape, Side};
pub use near_miss::{Miss, NearMiss};
pub use needs::{Need, Station, merged, stations};
pub use parse::{Node, read_rules};
pub use priority::Room;
pub use routing::{Path, RouteUse, Routing};
pub use shadow::{Shadowed, shadowed};
pub use space::{Cover, Degree, End, Space};

use crate::catalog::{ServiceTags, Tag};
use crate::net::{IpSet, Prefix};

/// The rules and routes of all files.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Lists of rules, in the order of the files.
    pub acls: Vec<Acl>,
    /// Routes, in the order of the files.
    pub routes: Vec<Route>,
}

impl Policy {
    /// Adds the rules and routes of the text of a file. `file` names it in errors and results.
    pub fn add_text(mut self, file: &str, text: &str) -> Result<Self, ExportError> {
        let parsed = parse::read(file, text)?;
        for acl in parsed.acls {
            self.add(acl).map_err(|reason| ExportError::new(file, reason))?;
        }
        self.routes.extend(parsed.routes);
        Ok(self)
    }

    /// Adds a list. Of two files about one list the one that says more is kept, if they agree.
    fn add(&mut self, acl: Acl) -> Result<(), Reason> {
        let is_same = |other: &&mut Acl| {
            let ids = acl.id.as_ref().zip(other.id.as_ref()).map(|(one, other)| one == other);
            let same_name = !acl.name.is_empty() && acl.name.eq_ignore_ascii_case(&other.name);
            acl.layer == other.layer && ids.unwrap_or(same_name)
        };
        let Some(known) = self.acls.iter_mut().find(is_same) else {
            self.acls.push(acl);
            return Ok(());
        };
        // Effective rules are those of one interface, with the addresses that the tags stand for.
        let is_effective = |acl: &Acl| acl.shape == Shape::Effective;
        if is_effective(known) != is_effective(&acl) {
            if is_effective(&acl) {
                *known = acl;
            }
            return Ok(());
        }
        if let Some(rule) = difference(known, &acl) {
            return Err(Reason::Conflict(format!(
                "'{}' differs from {}, such as in rule '{rule}': name only the newer one",
                acl.shown(),
                known.file
            )));
        }
        let content = |acl: &Acl| {
            let defaults = acl.rules.iter().filter(|rule| rule.origin == Origin::Default).count();
            (acl.gaps.is_empty(), acl.attached.is_some(), acl.id.is_some(), defaults)
        };
        if content(&acl) > content(known) {
            *known = acl;
        }
        Ok(())
    }

    /// Returns the addresses that the tag `VirtualNetwork` stood for at an interface, if effective rules tell.
    pub fn expanded_vnet(&self) -> Option<IpSet> {
        let is_vnet =
            |addresses: &[Address]| matches!(addresses, [address] if address.tag() == Some(Tag::VirtualNetwork));
        let rules = self.acls.iter().flat_map(|acl| &acl.rules);
        let mut sets = rules.flat_map(|rule| {
            let sides = [(&rule.source, &rule.expanded_source), (&rule.destination, &rule.expanded_destination)];
            sides.into_iter().filter_map(|(addresses, set)| set.as_ref().filter(|_| is_vnet(addresses)))
        });
        sets.next().map(|first| sets.fold(first.clone(), |all, set| all.union(set)))
    }

    /// Returns the list that a flow log names: by its id, else by its name.
    pub fn acl(&self, logged: &str) -> Option<&Acl> {
        let id = logged.to_ascii_lowercase();
        let by_id = self.acls.iter().find(|acl| acl.id.as_deref() == Some(id.as_str()));
        let name = id.rsplit('/').next().filter(|name| !name.is_empty())?;
        let is_named = |acl: &&Acl| acl.name.eq_ignore_ascii_case(name) && (acl.id.is_none() || !id.contains('/'));
        by_id.or_else(|| self.acls.iter().find(is_named))
    }

    /// Returns the addresses of a network for questions about these rules. Effective rules tell the network better than
    /// `vnet`. `tags` are the ones that questions will be about.
    pub fn space(&self, vnet: &[Prefix], subnets: &[Prefix], file: Option<&ServiceTags>, tags: &[Tag]) -> Space {
        let vnet = self.expanded_vnet().unwrap_or_else(|| vnet.iter().copied().collect());
        let named = tags.iter().filter_map(|tag| match tag {
            Tag::Named(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        // AzureCloud contains most of the others.
        let space = Space::new(&vnet, subnets, named.filter(|name| !name.starts_with("azurecloud")).collect());
        match file {
            Some(file) => space.with_tags(file, &self.acls, tags.iter()),
            None => space,
        }
    }
}

/// Returns the name of a rule that only one of two lists has, or that they have with different content. Default rules
/// are the same everywhere.
fn difference(one: &Acl, other: &Acl) -> Option<String> {
    let lacks = |all: &Acl, rule: &Rule| !all.rules.iter().any(|other| parse::is_equal(rule, other));
    let of_users = |acl: &Acl| acl.rules.iter().filter(|rule| !rule.origin.is_default()).cloned().collect::<Vec<_>>();
    let of_one = of_users(one).into_iter().find(|rule| lacks(other, rule));
    of_one.or_else(|| of_users(other).into_iter().find(|rule| lacks(one, rule))).map(|rule| rule.name)
}
