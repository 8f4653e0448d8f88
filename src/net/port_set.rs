use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A set of ports in the notation of the port table: `443`, `80;443`, `6381-6383`, `*`. Bracketed ports are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortSet {
    /// Inclusive ranges, ascending, neither touching nor overlapping.
    ranges: Vec<(u16, u16)>,
}

/// A text that is not a list of ports, as given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a list of ports such as 443, 80;443, 6381-6383 or *")]
pub struct PortSetError(String);

impl PortSet {
    /// Returns the set of all ports.
    pub fn all() -> Self {
        Self { ranges: vec![(0, u16::MAX)] }
    }

    /// Returns the union of inclusive ranges. Ranges with the higher port first are ignored.
    pub fn from_ranges(ranges: impl IntoIterator<Item = (u16, u16)>) -> Self {
        let mut sorted: Vec<(u16, u16)> = ranges.into_iter().filter(|(low, high)| low <= high).collect();
        sorted.sort_unstable();
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for (low, high) in sorted {
            match ranges.last_mut() {
                Some(last) if u32::from(low) <= u32::from(last.1) + 1 => last.1 = last.1.max(high),
                _ => ranges.push((low, high)),
            }
        }
        Self { ranges }
    }

    /// Returns inclusive ranges, ascending, neither touching nor overlapping.
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.ranges
    }

    /// Returns whether the set contains no port.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns whether the set contains every port.
    pub fn is_all(&self) -> bool {
        self.ranges == [(0, u16::MAX)]
    }

    /// Returns whether the set contains a port.
    pub fn contains(&self, port: u16) -> bool {
        let at = self.ranges.partition_point(|&(low, _)| low <= port);
        at.checked_sub(1).is_some_and(|i| port <= self.ranges[i].1)
    }

    /// Returns the ports that are in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        Self::from_ranges(self.ranges.iter().flat_map(|&(low, high)| {
            other.ranges.iter().map(move |&(other_low, other_high)| (low.max(other_low), high.min(other_high)))
        }))
    }

    /// Returns the ports of this set that are not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        self.intersection(&other.complement())
    }

    /// Returns whether every port of `other` is in this set, too.
    pub fn covers(&self, other: &Self) -> bool {
        other.difference(self).is_empty()
    }

    fn complement(&self) -> Self {
        let mut ranges = Vec::new();
        let mut next = Some(0);
        for &(low, high) in &self.ranges {
            ranges.extend(next.zip(low.checked_sub(1)));
            next = high.checked_add(1);
        }
        ranges.extend(next.map(|low| (low, u16::MAX)));
        Self::from_ranges(ranges)
    }
}

/// Writes `443`, `80;443`, `6381-6383`, or `*` for all ports, as [`PortSet::from_str`] reads them.
impl std::fmt::Display for PortSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_all() {
            return f.write_str("*");
        }
        for (place, (low, high)) in self.ranges.iter().enumerate() {
            let separator = if place == 0 { "" } else { ";" };
            match low == high {
                true => write!(f, "{separator}{low}")?,
                false => write!(f, "{separator}{low}-{high}")?,
            }
        }
        Ok(())
    }
}

/// A [`PortSet`] as one bit per port, for tests on every flow. Small enough for the L1 cache.
#[derive(Debug, Clone)]
pub struct PortBits(Box<[u64; 1024]>);

impl PortBits {
    /// Returns whether the set contains a port.
    #[inline(always)]
    pub fn contains(&self, port: u16) -> bool {
        self.0[usize::from(port >> 6)] >> (port & 63) & 1 == 1
    }
}

impl From<&PortSet> for PortBits {
    fn from(set: &PortSet) -> Self {
        let mut bits = Box::new([0; 1024]);
        let ports = set.ranges.iter().flat_map(|&(low, high)| low..=high);
        ports.for_each(|port| bits[usize::from(port >> 6)] |= 1 << (port & 63));
        Self(bits)
    }
}

impl FromStr for PortSet {
    type Err = PortSetError;

    fn from_str(text: &str) -> Result<Self, PortSetError> {
        let error = || PortSetError(text.to_owned());
        let number = |digits: &str| {
            let digits = digits.trim();
            if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().map_err(|_| error()) } else { Err(error()) }
        };
        let mut ranges = Vec::new();
        for part in text.split(';').map(str::trim) {
            if let Some(optional) = part.strip_prefix('[').and_then(|p| p.strip_suffix(']')) {
                number(optional)?;
            } else if part == "*" {
                ranges.push((0, u16::MAX));
            } else {
                let (low, high) = part.split_once('-').unwrap_or((part, part));
                let (low, high) = (number(low)?, number(high)?);
                if low > high {
                    return Err(error());
                }
                ranges.push((low, high));
            }
        }
        Ok(Self::from_ranges(ranges))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_spelling_of_the_table() {
        let check = |text: &str, ranges: &[(u16, u16)]| {
            assert_eq!(text.parse::<PortSet>().map(|s| s.ranges().to_vec()), Ok(ranges.to_vec()), "{text}");
        };
        check("443", &[(443, 443)]);
        check("80;443", &[(80, 80), (443, 443)]);
        check("5671;5672;443", &[(443, 443), (5671, 5672)]);
        check("6381-6383", &[(6381, 6383)]);
        check("[80];443", &[(443, 443)]);
        check("*", &[(0, 65535)]);
        for bad in ["", "http", "65536", "9-1", "+5", "[x];443", "80,443"] {
            assert!(bad.parse::<PortSet>().is_err(), "{bad}");
        }
    }

    #[test]
    fn holds_its_edges_and_nothing_beside() {
        let set: PortSet = "443;6381-6383".parse().expect("valid");
        let held: Vec<u16> = (0..=u16::MAX).filter(|&p| set.contains(p)).collect();
        assert_eq!(held, [443, 6381, 6382, 6383]);
        assert_eq!(set.intersection(&"400-500;6383-7000".parse().expect("valid")).ranges(), [(443, 443), (6383, 6383)]);
    }

    #[test]
    fn what_is_taken_out_is_gone() {
        for (from, taken, left) in [
            ("*", "0", "1-65535"),
            ("*", "65535", "0-65534"),
            ("*", "443;1000-2000", "0-442;444-999;2001-65535"),
            ("443;1433", "443", "1433"),
            ("443", "*", ""),
        ] {
            let [from, taken]: [PortSet; 2] = [from, taken].map(|text| text.parse().expect("valid"));
            let difference = from.difference(&taken);
            assert_eq!(difference.to_string(), left);
            assert!(from.covers(&difference) && difference.intersection(&taken).is_empty());
        }
    }
}
