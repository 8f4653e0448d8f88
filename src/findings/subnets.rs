//! Groups the addresses of an inferred scope, and names the subnet under which each group is shown.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use crate::net::{Prefix, number};

/// A local address, with the ACLs that decided on its flows.
#[derive(Debug, Clone, Copy)]
pub struct Decided<'a> {
    pub ip: IpAddr,
    pub acls: &'a [String],
}

/// Addresses that form one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// Block that holds all members, and perhaps other addresses. Unique among the subnets.
    pub prefix: Prefix,
    /// Addresses of the scope, or of several scopes that are shown as one.
    pub members: Vec<IpAddr>,
}

/// Returns the /24 around an IPv4 address, the /64 around an IPv6 address.
pub fn around(ip: IpAddr) -> Prefix {
    Prefix::around(ip, if ip.is_ipv4() { 24 } else { 64 }).unwrap_or(Prefix::single(ip))
}

/// Groups addresses into scopes. Addresses of one /24 or /64 are one scope while they share ACLs, directly or through
/// others. Otherwise each scope is shown under the smallest prefix that holds it, or the next wider one that no other
/// scope has. Scopes without such a prefix are shown as one scope under the whole block. An address without an ACL
/// joins its nearest neighbour that has one.
pub fn grouped(mut locals: Vec<Decided>) -> Vec<Subnet> {
    locals.sort_by_key(|local| number(local.ip));
    let mut subnets: Vec<Subnet> = Vec::new();
    let mut places: HashMap<Prefix, usize> = HashMap::new();
    for block in locals.chunk_by(|a, b| around(a.ip) == around(b.ip)) {
        let scopes = scopes(block);
        let is_one = scopes.len() == 1;
        for members in scopes {
            let [first, .., last] = [members.first(), members.last()].map(|ip| ip.copied());
            let (Some(first), Some(last)) = (first, last) else { continue };
            let mut prefix = if is_one { around(first) } else { Prefix::spanning(first, last) };
            while places.contains_key(&prefix)
                && let Some(wider) = prefix.wider().filter(|wider| wider.bits() >= around(first).bits())
            {
                prefix = wider;
            }
            match places.entry(prefix) {
                Entry::Occupied(known) => subnets[*known.get()].members.extend(members),
                Entry::Vacant(new) => {
                    new.insert(subnets.len());
                    subnets.push(Subnet { prefix, members });
                }
            }
        }
    }
    subnets.sort_by_key(|subnet| subnet.prefix);
    subnets
}

/// Returns the members per scope of a block, ascending. Scopes are ordered by their first addresses.
fn scopes(block: &[Decided]) -> Vec<Vec<IpAddr>> {
    // Index of a lower address of the same scope, or of the address itself.
    let mut lower: Vec<usize> = (0..block.len()).collect();
    let mut first_of: HashMap<&str, usize> = HashMap::new();
    for (place, local) in block.iter().enumerate() {
        for acl in local.acls {
            let first = *first_of.entry(acl).or_insert(place);
            let [one, other] = [lowest(&mut lower, first), lowest(&mut lower, place)];
            lower[one.max(other)] = one.min(other);
        }
    }
    let mut scopes: BTreeMap<usize, Vec<IpAddr>> = BTreeMap::new();
    for (local, neighbour) in block.iter().zip(neighbours(block)) {
        scopes.entry(lowest(&mut lower, neighbour)).or_default().push(local.ip);
    }
    let mut scopes: Vec<Vec<IpAddr>> = scopes.into_values().collect();
    scopes.sort_by_key(|members| members.first().map(|&ip| number(ip)));
    scopes
}

/// Returns the lowest index of the scope of an index.
fn lowest(lower: &mut [usize], place: usize) -> usize {
    let mut at = place;
    while lower[at] != at {
        // Halves the path for later calls.
        lower[at] = lower[lower[at]];
        at = lower[at];
    }
    at
}

/// Returns per address its own index, or without an ACL the index of the nearest address that has one. Ties go to
/// the lower index. Without any ACL in the block, the index is 0.
fn neighbours(block: &[Decided]) -> Vec<usize> {
    let has_acl = |place: &usize| block.get(*place).is_some_and(|local| !local.acls.is_empty());
    let mut above: Vec<Option<usize>> = vec![None; block.len()];
    let mut next = None;
    for place in (0..block.len()).rev() {
        next = Some(place).filter(has_acl).or(next);
        above[place] = next;
    }
    let mut below = None;
    let nearest = |(place, above): (usize, Option<usize>)| {
        below = Some(place).filter(has_acl).or(below);
        let distance = |to: usize| number(block[to].ip).abs_diff(number(block[place].ip));
        [below, above].into_iter().flatten().min_by_key(|&to| distance(to)).unwrap_or(0)
    };
    above.into_iter().enumerate().map(nearest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups `locals`, which are addresses with their ACLs, one letter each.
    fn check(locals: &[(&str, &str)], expected: &[(&str, &[&str])]) {
        let acls: Vec<Vec<String>> =
            locals.iter().map(|(_, acls)| acls.chars().map(|acl| acl.to_string()).collect()).collect();
        let decided = locals.iter().zip(&acls).map(|((ip, _), acls)| Decided { ip: ip.parse().expect("valid"), acls });
        let mut decided: Vec<Decided> = decided.collect();
        for _ in 0..2 {
            let found: Vec<(String, Vec<String>)> = grouped(decided.clone())
                .iter()
                .map(|s| (s.prefix.to_string(), s.members.iter().map(ToString::to_string).collect()))
                .collect();
            let expected: Vec<(String, Vec<String>)> = expected
                .iter()
                .map(|(prefix, members)| ((*prefix).to_owned(), members.iter().map(|&m| m.to_owned()).collect()))
                .collect();
            assert_eq!(found, expected, "{locals:?}");
            decided.reverse();
        }
    }

    #[test]
    fn units_of_one_acl_are_one_scope() {
        check(
            &[("10.0.1.4", "a"), ("10.0.1.200", "a"), ("10.0.2.4", "a"), ("fd00::1", ""), ("fd00::2:0:0:0:9", "")],
            &[
                ("10.0.1.0/24", &["10.0.1.4", "10.0.1.200"]),
                ("10.0.2.0/24", &["10.0.2.4"]),
                ("fd00::/64", &["fd00::1"]),
                ("fd00:0:0:2::/64", &["fd00:0:0:2::9"]),
            ],
        );
        // Sharing through others, as with the NSGs of interfaces and of their subnet.
        check(
            &[("10.0.1.4", "ax"), ("10.0.1.5", "b"), ("10.0.1.6", "bx")],
            &[("10.0.1.0/24", &["10.0.1.4", "10.0.1.5", "10.0.1.6"])],
        );
    }

    #[test]
    fn other_acls_are_other_scopes() {
        check(
            &[("10.0.1.4", "a"), ("10.0.1.6", "a"), ("10.0.1.36", "b"), ("10.0.2.1", "b")],
            &[
                ("10.0.1.4/30", &["10.0.1.4", "10.0.1.6"]),
                ("10.0.1.36/32", &["10.0.1.36"]),
                ("10.0.2.0/24", &["10.0.2.1"]),
            ],
        );
    }

    #[test]
    fn no_two_scopes_look_alike() {
        check(
            &[("10.0.1.4", "a"), ("10.0.1.5", "b"), ("10.0.1.6", "b"), ("10.0.1.7", "a"), ("10.0.1.2", "c")],
            &[
                ("10.0.1.0/29", &["10.0.1.5", "10.0.1.6"]),
                ("10.0.1.2/32", &["10.0.1.2"]),
                ("10.0.1.4/30", &["10.0.1.4", "10.0.1.7"]),
            ],
        );
    }

    #[test]
    fn without_an_acl_it_goes_with_its_neighbour() {
        check(
            &[("10.0.1.4", "a"), ("10.0.1.5", ""), ("10.0.1.30", ""), ("10.0.1.36", "b")],
            &[("10.0.1.0/26", &["10.0.1.30", "10.0.1.36"]), ("10.0.1.4/31", &["10.0.1.4", "10.0.1.5"])],
        );
    }

    #[test]
    fn takes_as_long_as_there_are_addresses() {
        let acls: Vec<Vec<String>> =
            (0..157 * 256).map(|nr| vec![format!("acl{}", nr % 7), format!("own{nr}")]).collect();
        let ip = |nr: u32| IpAddr::from((0x0a00_0000 + nr).to_be_bytes());
        let decided = acls.iter().zip(0..).map(|(acls, nr)| Decided { ip: ip(nr), acls });
        let subnets = grouped(decided.collect());
        let members: usize = subnets.iter().map(|s| s.members.len()).sum();
        assert_eq!(members, 157 * 256);
        // Each block has seven scopes that no prefix smaller than the block holds.
        assert_eq!(subnets.len(), 157);
    }
}
