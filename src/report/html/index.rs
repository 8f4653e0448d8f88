//! Finds findings by their ids.

use std::collections::HashMap;

use crate::findings::{Analysis, Cause, Finding};

/// Findings of an analysis by id, and the places of the ones that have an entry on the page.
pub struct Index<'a> {
    findings: HashMap<&'a str, &'a Finding>,
    places: HashMap<&'a str, usize>,
}

impl<'a> Index<'a> {
    /// Returns the index. If two findings share an id, the first one has it.
    pub fn of(analysis: &'a Analysis, shown: &[&'a Finding]) -> Self {
        let id = |finding: &'a Finding| finding.identity.id.as_str();
        Self {
            findings: analysis.findings.iter().rev().map(|finding| (id(finding), finding)).collect(),
            places: shown.iter().enumerate().rev().map(|(place, finding)| (id(finding), place)).collect(),
        }
    }

    /// Returns the findings of a cause, each with its place on the page if it has one.
    pub fn of_cause(&self, cause: &Cause) -> Vec<(&'a Finding, Option<usize>)> {
        let known = |id: &String| Some((*self.findings.get(id.as_str())?, self.places.get(id.as_str()).copied()));
        cause.findings.iter().filter_map(known).collect()
    }
}
