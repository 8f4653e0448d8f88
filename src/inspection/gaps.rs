//! Finds hours without a blob, from the paths of existing blobs. Azure writes one blob per hour for each interface that
//! logged something.

use std::collections::{BTreeSet, HashMap};

use super::{Hours, Interface};
use crate::source::BlobPath;
use crate::time::{HOUR, Timestamp};

/// Adds hours and gaps to the interfaces named in the paths.
pub fn add(interfaces: &mut [Interface], paths: impl Iterator<Item = String>) {
    let mut known: HashMap<&str, (u64, BTreeSet<i64>)> =
        interfaces.iter().map(|interface| (interface.mac.as_str(), Default::default())).collect();
    for path in paths {
        if let Some(BlobPath { hour, mac: Some(mac) }) = BlobPath::parse(&path)
            && let Some((blobs, hours)) = known.get_mut(mac.to_uppercase().as_str())
        {
            *blobs += 1;
            hours.insert(hour);
        }
    }
    let known: Vec<(u64, BTreeSet<i64>)> =
        interfaces.iter().map(|interface| known.remove(interface.mac.as_str()).unwrap_or_default()).collect();
    for (interface, (blobs, hours)) in interfaces.iter_mut().zip(&known).filter(|(_, (blobs, _))| *blobs > 0) {
        interface.blobs = *blobs;
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
