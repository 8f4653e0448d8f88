//! Finds hours without a blob, from the paths of existing blobs. Azure writes one blob per hour for each interface that
//! logged something.

use std::collections::{BTreeMap, BTreeSet};

use super::{Hours, Interface};
use crate::source::BlobPath;
use crate::time::{HOUR, Timestamp};

/// Adds hours and gaps to the interfaces named in the paths.
pub fn add(interfaces: &mut [Interface], paths: impl Iterator<Item = String>) {
    let mut hours: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    let mut blobs: BTreeMap<String, u64> = BTreeMap::new();
    for path in paths {
        if let Some(BlobPath { hour, mac: Some(mac) }) = BlobPath::parse(&path) {
            let mac = mac.to_uppercase();
            *blobs.entry(mac.clone()).or_default() += 1;
            hours.entry(mac).or_default().insert(hour);
        }
    }
    for interface in interfaces {
        let Some(hours) = hours.get(&interface.mac) else { continue };
        interface.blobs = blobs.get(&interface.mac).copied().unwrap_or_default();
        interface.first_hour = hours.first().copied().map(Timestamp);
        interface.last_hour = hours.last().copied().map(Timestamp);
        interface.missing_hours = missing(hours);
    }
}

fn missing(hours: &BTreeSet<i64>) -> Vec<Hours> {
    let steps = hours.iter().zip(hours.iter().skip(1));
    steps
        .filter(|(before, after)| *after - *before > HOUR)
        .map(|(before, after)| Hours { from: Timestamp(before + HOUR), to: Timestamp(after - HOUR) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_lie_between_the_first_and_the_last_hour() {
        let check = |hours: &[i64], expected: &[(i64, i64)]| {
            let hours = hours.iter().map(|hour| hour * HOUR).collect();
            let gaps: Vec<(i64, i64)> = missing(&hours).iter().map(|h| (h.from.0 / HOUR, h.to.0 / HOUR)).collect();
            assert_eq!(gaps, expected);
        };
        check(&[], &[]);
        check(&[5], &[]);
        check(&[1, 2, 3], &[]);
        check(&[1, 3, 4, 8], &[(2, 2), (5, 7)]);
    }
}
