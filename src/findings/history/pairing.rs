//! Pairs findings of two runs: by fingerprint, and what is left over by what it is about.

use std::collections::HashMap;

use super::super::model::Finding;
use super::remembered::Remembered;
use crate::flow::{ScopeDirection, Vantage};
use crate::net::Prefix;

/// Returns for each finding the index of the remembered finding that it continues.
///
/// A fingerprint depends on the subnet, the rule and the loaded tags. A finding whose fingerprint is new continues a
/// remembered one that no other finding continues, if both are about the same, as [`Concern`] has it, and the subnet of
/// one contains that of the other.
pub fn pairs(known: &[Remembered], found: &[Finding]) -> Vec<Option<usize>> {
    let by_fingerprint: HashMap<&str, usize> =
        known.iter().enumerate().map(|(index, known)| (known.fingerprint.as_str(), index)).collect();
    let mut pairs: Vec<Option<usize>> =
        found.iter().map(|found| by_fingerprint.get(found.identity.fingerprint.as_str()).copied()).collect();
    let mut free: HashMap<Concern, Vec<usize>> = HashMap::new();
    let taken: Vec<usize> = pairs.iter().flatten().copied().collect();
    for (index, known) in known.iter().enumerate().filter(|(index, _)| !taken.contains(index)) {
        free.entry(Concern::remembered(known)).or_default().push(index);
    }
    for (found, pair) in found.iter().zip(&mut pairs).filter(|(_, pair)| pair.is_none()) {
        let Some(candidates) = free.get_mut(&Concern::found(found)) else { continue };
        let fits = |&index: &usize| {
            known.get(index).is_some_and(|known| is_nested(&known.subject.subnet, &found.subject.subnet))
        };
        if let Some(place) = candidates.iter().position(fits) {
            *pair = Some(candidates.remove(place));
        }
    }
    pairs
}

/// What a finding is about, apart from the subnet and the rule.
#[derive(PartialEq, Eq, Hash)]
pub struct Concern<'a> {
    requirement: Option<&'a str>,
    /// Protocol and ports, if no requirement is named.
    flows: Option<(&'a str, &'a [u16])>,
    direction: ScopeDirection,
    vantage: Vantage,
    /// ACL in lower case.
    acl: Option<String>,
}

impl<'a> Concern<'a> {
    fn new(subject: &'a super::super::model::Subject, blame: &'a super::super::model::Blame) -> Self {
        let requirement = subject.requirement.as_deref();
        Self {
            requirement,
            flows: requirement.is_none().then_some((&subject.protocol, &subject.ports)),
            direction: subject.direction,
            vantage: subject.vantage,
            acl: blame.acl.as_ref().map(|acl| acl.to_lowercase()),
        }
    }

    fn remembered(known: &'a Remembered) -> Self {
        Self::new(&known.subject, &known.blame)
    }

    fn found(found: &'a Finding) -> Self {
        Self::new(&found.subject, &found.blame)
    }
}

/// Returns whether one subnet contains the other.
pub fn is_nested(one: &str, other: &str) -> bool {
    match (one.parse::<Prefix>(), other.parse::<Prefix>()) {
        (Ok(one), Ok(other)) => {
            one.first() <= other.first() && other.last() <= one.last()
                || other.first() <= one.first() && one.last() <= other.last()
        }
        _ => one == other,
    }
}
