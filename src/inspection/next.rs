//! Says what to do after an inspection.

use serde::Serialize;

use super::Inspection;
use crate::remedy::Remedy;

/// What to do after an inspection.
#[derive(Debug, Default, Serialize)]
pub struct Next {
    /// Command to go on with, quoted for a shell; null without a subnet to analyse. The caller sets it, because it knows how
    /// the sources were given.
    pub command: Option<String>,
    /// Advice about the command, or what to do instead; null without any.
    pub advice: Option<String>,
}

impl Next {
    /// Returns the advice. The command is not set yet.
    pub(super) fn of(inspection: &Inspection) -> Self {
        let count = inspection.subnets().count();
        let advice = match (inspection.input.tuples, count) {
            (0, _) => Some("There is no flow to analyse: check the source and the time window.".to_owned()),
            (_, 0) => Some(format!(
                "No address here looks like API Management. If one of the subnets is its subnet, analyse the logs with \
                 {} CIDR. Otherwise check that the flow log is on, and covers the virtual network or the subnet of the instance.",
                Remedy::Subnet
            )),
            (_, 1) => None,
            (_, _) => Some(format!(
                "Several subnets look like API Management. Leave out the {} of other instances.",
                Remedy::Subnet
            )),
        };
        Self { command: None, advice }
    }
}

impl Inspection {
    /// Returns the subnets that look like API Management, as CIDR.
    pub fn subnets(&self) -> impl Iterator<Item = &str> {
        let seen = self.subnets_seen.iter().map(|subnet| &subnet.seen);
        seen.filter(|seen| seen.looks_like_apim).map(|seen| seen.cidr.as_str())
    }
}
