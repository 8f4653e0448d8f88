//! Counts the records of other Azure logs in a blob. They are not damage.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Maximum number of kinds counted separately.
const MAX_KINDS: usize = 32;
/// Maximum length of a category in characters.
const MAX_NAME: usize = 64;

/// Number of records of other logs per kind, in bounded memory. The result does not depend on the order of the
/// records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreign {
    records: u64,
    /// The first [`MAX_KINDS`] kinds in name order. Because a removed name is greater than all that remain, it never
    /// returns. Each count therefore covers all records of its kind.
    kinds: BTreeMap<Box<str>, u64>,
}

impl Foreign {
    /// Number of records of all kinds.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Returns whether there was no such record.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Counts a record of a kind returned by `kind`.
    pub fn count(&mut self, kind: &str) {
        self.records += 1;
        self.add_to(kind, 1);
    }

    /// Adds the counts of another part.
    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        other.kinds.iter().for_each(|(kind, records)| self.add_to(kind, *records));
    }

    fn add_to(&mut self, kind: &str, records: u64) {
        match self.kinds.get_mut(kind) {
            Some(count) => *count += records,
            None => drop(self.kinds.insert(kind.into(), records)),
        }
        if self.kinds.len() > MAX_KINDS {
            self.kinds.pop_last();
        }
    }

    /// Returns the kinds with their counts in descending order. The kinds not counted separately follow as `other`.
    pub fn kinds(&self) -> Vec<(&str, u64)> {
        let mut kinds: Vec<(&str, u64)> = self.kinds.iter().map(|(kind, records)| (&**kind, *records)).collect();
        kinds.sort_by_key(|(_, records)| std::cmp::Reverse(*records));
        let told: u64 = kinds.iter().map(|(_, records)| records).sum();
        kinds.extend((self.records > told).then(|| ("other", self.records - told)));
        kinds
    }
}

/// Returns the kind of a foreign record: its category, or `metrics` if it has a `metricName`. Returns `None` for a
/// flow record, and for a record with neither.
pub fn kind(category: Option<&str>, has_metric: bool) -> Option<String> {
    if has_metric {
        return Some("metrics".to_owned());
    }
    let category = category?.trim();
    let is_flow_log = ["FlowEvent", "FlowEvents"].iter().any(|end| {
        let start = category.len().checked_sub(end.len());
        start.and_then(|start| category.get(start..)).is_some_and(|found| found.eq_ignore_ascii_case(end))
    });
    (!category.is_empty() && !is_flow_log).then(|| category.chars().take(MAX_NAME).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_tell_foreign_records() {
        assert_eq!(kind(Some("AuditEvent"), false).as_deref(), Some("AuditEvent"));
        assert_eq!(
            kind(Some("NetworkSecurityGroupRuleCounter"), false).as_deref(),
            Some("NetworkSecurityGroupRuleCounter")
        );
        assert_eq!(kind(None, true).as_deref(), Some("metrics"));
        for category in ["FlowLogFlowEvent", "NetworkSecurityGroupFlowEvent", "networksecuritygroupflowevents", "", " "]
        {
            assert_eq!(kind(Some(category), false), None, "{category}");
        }
        assert_eq!(kind(None, false), None);
        assert_eq!(kind(Some(&"é".repeat(1000)), false).map(|kind| kind.chars().count()), Some(MAX_NAME));
    }

    #[test]
    fn kinds_are_bounded_and_the_same_in_any_order() {
        let names: Vec<String> = (0..100).map(|n| format!("kind {n:03}")).collect();
        let counted = |order: &mut dyn Iterator<Item = usize>| {
            let (mut left, mut right) = (Foreign::default(), Foreign::default());
            for (nr, n) in order.enumerate() {
                let part = if nr % 3 == 0 { &mut left } else { &mut right };
                (0..=n % 7).for_each(|_| part.count(&names[n]));
            }
            left.add(&right);
            left
        };
        let up = counted(&mut (0..100));
        assert_eq!(counted(&mut (0..100).rev()), up);
        assert_eq!(counted(&mut (0..100).map(|n| n * 37 % 100)), up);
        let kinds = up.kinds();
        assert_eq!(kinds.len(), MAX_KINDS + 1);
        assert_eq!(kinds.iter().map(|(_, n)| n).sum::<u64>(), up.records());
        assert_eq!((kinds[0], kinds[MAX_KINDS].0), (("kind 006", 7), "other"));
    }
}
