//! Lists of a finding: the addresses at both ends, and the hours.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use super::model::{Addresses, HourCount, LocalAddress, RemoteAddress};
use crate::engine::{EXACT_ADDRESSES, ResultRows, Scope, Session, SessionError, distinct_addresses};
use crate::net::address;
use crate::queries;
use crate::time::Timestamp;

/// At most this many addresses per end are listed.
const LISTED_ADDRESSES: usize = 10;
/// At most this many hours are listed.
const LISTED_HOURS: usize = 168;

/// Addresses by their numbers on the common number line, with their tuples.
pub type AddressCounts = Vec<(u128, i64)>;

/// All addresses and hours of one finding.
#[derive(Debug, Clone, Default)]
pub struct Ends {
    /// Addresses in scope.
    pub locals: AddressCounts,
    /// Peers.
    pub peers: AddressCounts,
    /// Hours with denied tuples, ascending.
    pub hours: Vec<HourCount>,
}

impl Ends {
    /// Counts the addresses, and keeps the busiest of them and the last hours.
    pub fn listed(self, scope: &Scope) -> Addresses {
        let Self { locals, peers, mut hours } = self;
        hours.drain(..hours.len().saturating_sub(LISTED_HOURS));
        Addresses {
            local_address_count: distinct_addresses(&locals),
            remote_address_count: distinct_addresses(&peers),
            remote_address_count_exact: peers.len() <= EXACT_ADDRESSES,
            local_addresses: local_addresses(locals),
            remote_addresses: remote_addresses(peers, scope),
            hours,
            outside_loaded_tags: 0,
        }
    }
}

/// Lists of all findings of a query, by the number of the finding.
#[derive(Default)]
pub struct Details(BTreeMap<i64, Ends>);

impl Details {
    /// Reads the lists of all denied groups.
    pub async fn of_denied(session: &Session) -> Result<Self, SessionError> {
        let (hours, addresses) =
            tokio::try_join!(session.materialized(queries::FINDING_HOURS), session.table(queries::FINDING_ADDRESSES))?;
        let mut details = Self::default();
        for row in hours.rows() {
            let hour = HourCount { hour: Timestamp(row.int("hour")?), denied_tuples: row.int("denied_tuples")? };
            details.0.entry(row.int("finding")?).or_default().hours.push(hour);
        }
        details.add_addresses(&addresses)?;
        Ok(details)
    }

    /// Sets the addresses per finding from rows with the columns `finding`, `locals` and `peers`.
    pub fn add_addresses(&mut self, rows: &ResultRows) -> Result<(), SessionError> {
        for row in rows.rows() {
            let ends = self.0.entry(row.int("finding")?).or_default();
            ends.locals = row.addresses("locals")?;
            ends.peers = row.addresses("peers")?;
        }
        Ok(())
    }

    /// Removes and returns the lists of a finding. A finding without rows has empty lists.
    pub fn take(&mut self, finding: i64) -> Ends {
        self.0.remove(&finding).unwrap_or_default()
    }
}

/// Returns the addresses to list, the busiest first. Equally busy ones are in the order of their numbers.
fn busiest(mut addresses: AddressCounts) -> impl Iterator<Item = (IpAddr, i64)> {
    let order = |&(number, tuples): &(u128, i64)| (Reverse(tuples), number);
    if addresses.len() > LISTED_ADDRESSES {
        addresses.select_nth_unstable_by_key(LISTED_ADDRESSES, order);
        addresses.truncate(LISTED_ADDRESSES);
    }
    addresses.sort_unstable_by_key(order);
    addresses.into_iter().map(|(number, tuples)| (address(number), tuples))
}

fn local_addresses(locals: AddressCounts) -> Vec<LocalAddress> {
    busiest(locals).map(|(ip, denied_tuples)| LocalAddress { ip: ip.to_string(), name: None, denied_tuples }).collect()
}

fn remote_addresses(peers: AddressCounts, scope: &Scope) -> Vec<RemoteAddress> {
    let tag = |ip| scope.service_tags().and_then(|tags| tags.tag(ip)).map(str::to_owned);
    let listed = busiest(peers);
    listed
        .map(|(ip, denied_tuples)| RemoteAddress {
            ip: ip.to_string(),
            name: None,
            service_tag: tag(ip),
            denied_tuples,
        })
        .collect()
}
