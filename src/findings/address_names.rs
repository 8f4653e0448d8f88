//! Puts the names that the user gave beside the addresses of an analysis.

use super::Analysis;
use crate::catalog::AddressNames;

impl Analysis {
    /// Sets the names of all listed addresses. An address without a name in `names` keeps the name that it has.
    pub fn name_addresses(&mut self, names: &AddressNames) {
        let name = |ip: &str, slot: &mut Option<String>| {
            if let Some(name) = names.name_of_text(ip) {
                *slot = Some(name.to_owned());
            }
        };
        for addresses in self.findings.iter_mut().map(|finding| &mut finding.addresses) {
            addresses.local_addresses.iter_mut().for_each(|local| name(&local.ip, &mut local.name));
            addresses.remote_addresses.iter_mut().for_each(|remote| name(&remote.ip, &mut remote.name));
        }
        self.unmatched_denied.listed.iter_mut().for_each(|peer| name(&peer.remote, &mut peer.name));
    }
}
