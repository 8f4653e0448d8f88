//! Replaces what identifies a network by placeholders, so that an analysis can be shared. Works on the JSON form, so that
//! no text is forgotten. The same value has the same placeholder in the whole document.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use super::Document;
use super::rewritten::Rewritten;
use crate::report::fix::fill;

/// Keys with words and numbers of ours, or of published tables.
const KEPT: [&str; 35] = [
    "certainty",
    "operation",
    "status",
    "identity_changed",
    "severity_before",
    "standing",
    "transition",
    "fresh",
    "candidates",
    "cloud",
    "code",
    "confidence",
    "direction",
    "edition",
    "fail_on",
    "findings",
    "fingerprint",
    "flowgap_version",
    "id",
    "kind",
    "max_severity",
    "necessity",
    "ports",
    "protocol",
    "requirement",
    "rule_origin",
    "schema",
    "service_tag",
    "severity",
    "state",
    "vantage",
    "verdict",
    "vnet_mode",
    "vnet_mode_origin",
    "word",
];
/// Blocks that say nothing about a network: everything, and the private ranges.
const PUBLIC_BLOCKS: [&str; 7] =
    ["0.0.0.0/0", "10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "::/0", "fc00::/7"];
/// Addresses of the platform, which every network has.
const PUBLIC_ADDRESSES: [&str; 6] = ["0.0.0.0", "127.0.0.1", "168.63.129.16", "169.254.169.254", "::", "::1"];

/// Returns the document with placeholders for addresses, MAC addresses, resource ids, GUIDs, storage accounts and blobs.
pub fn redacted(document: &Document) -> serde_json::Result<Rewritten> {
    let mut has_commands = false;
    let mut hidden = Rewritten::of(document, |value| {
        has_commands = forget_commands(value);
        hide_all(value);
    })?;
    if has_commands {
        fill(&mut hidden.analysis);
    }
    Ok(hidden)
}

fn hide_all(document: &mut Value) {
    let mut known = Placeholders::default();
    known.name_groups(document);
    // The scope has the first numbers, then the findings.
    const FIRST: [&str; 2] = ["scope", "findings"];
    let Some(parts) = document.as_object_mut() else { return };
    for key in FIRST {
        parts.get_mut(key).into_iter().for_each(|part| known.hide(key, part, &[]));
    }
    for (key, part) in parts.iter_mut().filter(|(key, _)| !FIRST.contains(&key.as_str())) {
        known.hide(key, part, &[]);
    }
}

/// Removes the commands of all fixes, because they are written again from what is redacted. Returns whether there were
/// any.
fn forget_commands(analysis: &mut Value) -> bool {
    let mut had_any = false;
    for finding in analysis.get_mut("findings").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(fix) = finding.get_mut("fix").and_then(Value::as_object_mut) else { continue };
        let commands = fix.get_mut("commands").and_then(Value::as_object_mut);
        let texts = commands.into_iter().flat_map(|commands| commands.values_mut());
        for text in texts {
            had_any |= !text.take().is_null();
        }
        if let Some(undo) = fix.get_mut("undo") {
            had_any |= !undo.take().is_null();
        }
    }
    had_any
}

/// Placeholders of the values seen so far. Values are compared without case, as Azure does.
#[derive(Default)]
pub(super) struct Placeholders {
    known: HashMap<String, String>,
    counts: HashMap<&'static str, u32>,
}

impl Placeholders {
    /// Returns the placeholder of a value. `kind` matters for a new value only.
    pub(super) fn of(&mut self, kind: &'static str, value: &str) -> String {
        let value = value.to_lowercase();
        if let Some(known) = self.known.get(&value) {
            return known.clone();
        }
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        let placeholder = format!("{kind}-{count}");
        self.known.insert(value, placeholder.clone());
        placeholder
    }

    /// Learns the names of all ACLs, so that they are found in sentences.
    fn name_groups(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.name_groups(item)),
            Value::Object(keys) => {
                for (key, value) in keys {
                    match value.as_str() {
                        Some(text) if key == "acl" || key == "acl_name" => drop(self.resource(text)),
                        _ => self.name_groups(value),
                    }
                }
            }
            _ => {}
        }
    }

    /// Replaces in every text of `value`, which is at `key`. `names` are exact texts of the objects around it.
    pub(super) fn hide(&mut self, key: &str, value: &mut Value, names: &[(String, String)]) {
        match value {
            Value::String(_) if KEPT.contains(&key) => {}
            Value::String(text) if text.is_empty() => {}
            Value::String(text) => {
                *text = match key {
                    "blob" => self.of("blob", text),
                    "name" => self.of("name", text),
                    "actor" => self.of("actor", text),
                    "resource" => self.resource(text),
                    "acl" | "acl_name" => self.resource(text),
                    _ => self.sentence(text, names),
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.hide(key, item, names)),
            Value::Object(keys) => {
                let mut names = names.to_vec();
                for key in ["acl", "acl_name"] {
                    // A plain name is found as a word; any other text must be replaced as it is.
                    let name = keys.get(key).and_then(Value::as_str).filter(|name| name.contains(is_odd));
                    names.extend(name.map(|name| (name.to_owned(), self.resource(name))));
                }
                let actor = keys.get("change").and_then(|change| change.get("actor")?.as_str());
                names.extend(actor.map(|actor| (actor.to_owned(), self.of("actor", actor))));
                keys.iter_mut().for_each(|(key, value)| self.hide(key, value, &names));
            }
            _ => {}
        }
    }

    /// Returns a text with placeholders for exact texts, and scrubs what is between them.
    pub(super) fn sentence(&mut self, text: &str, names: &[(String, String)]) -> String {
        let first = names.iter().filter_map(|name| Some((text.find(&name.0)?, name))).min_by_key(|(at, _)| *at);
        match first {
            None => self.scrubbed(text),
            Some((at, (name, shown))) => {
                let (before, after) = text.split_at(at);
                let after = after.get(name.len()..).unwrap_or_default();
                format!("{}{shown}{}", self.scrubbed(before), self.sentence(after, names))
            }
        }
    }

    /// Returns the placeholder of a resource id, a GUID or the name of an ACL.
    pub(super) fn resource(&mut self, text: &str) -> String {
        if !text.contains('/') {
            return if text.is_empty() {
                String::new()
            } else {
                self.of(if is_guid(text) { "guid" } else { "nsg" }, text)
            };
        }
        let mut hidden = Vec::new();
        let mut before = String::new();
        for part in text.split('/') {
            hidden.push(match before.as_str() {
                _ if part.is_empty() => String::new(),
                "subscriptions" => self.of("subscription", part),
                "resourcegroups" => self.of("resource-group", part),
                "networksecuritygroups" => self.of("nsg", part),
                _ if is_type(part) => part.to_owned(),
                _ => self.of("resource", part),
            });
            before = part.to_lowercase();
        }
        hidden.join("/")
    }

    /// Returns a text with placeholders for everything in it that looks like an address, an id or a known name.
    fn scrubbed(&mut self, text: &str) -> String {
        let mut hidden = String::with_capacity(text.len());
        let mut before = ' ';
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            let taken = match before {
                _ if before.is_ascii_digit() => None,
                // After a letter, only an address can begin.
                _ if before.is_alphanumeric() => self.ipv4(rest),
                _ => self.word(rest, before),
            };
            let length = match taken {
                Some((length, placeholder)) => {
                    hidden.push_str(&placeholder);
                    length
                }
                None => {
                    hidden.push(letter);
                    letter.len_utf8()
                }
            };
            let (done, left) = rest.split_at(length);
            before = done.chars().next_back().unwrap_or(' ');
            rest = left;
        }
        hidden
    }

    /// Returns the length of the value that `text` begins with, and its placeholder.
    fn word(&mut self, text: &str, before: char) -> Option<(usize, String)> {
        let whole = run(text, |letter| !letter.is_whitespace() && !"\"'<>()[],;|".contains(letter))
            .trim_end_matches(['.', ':']);
        if let Some(at) = whole.find("://") {
            let host = whole.get(at + 3..)?;
            let host = host.split(['/', '?']).next().unwrap_or(host);
            return Some((whole.len(), self.of("account", host)));
        }
        if whole.to_lowercase().starts_with("/subscriptions/") {
            return Some((whole.len(), self.resource(whole)));
        }
        let name = run(text, |letter| !is_odd(letter)).trim_end_matches(['.', '-']);
        let is_host = [".blob.core.", ".dfs.core."].iter().any(|part| name.to_lowercase().contains(part));
        if is_host {
            return Some((name.len(), self.of("account", name)));
        }
        if let Some(known) = self.known.get(&name.to_lowercase()).filter(|_| before != '-') {
            return Some((name.len(), known.clone()));
        }
        let hex = run(text, |letter| letter.is_ascii_hexdigit() || letter == '-');
        if let Some(guid) = hex.get(..36).filter(|guid| is_guid(guid) && ends(hex, 36)) {
            return Some((36, self.of("guid", guid)));
        }
        self.mac(text).or_else(|| self.ipv6(text)).or_else(|| self.ipv4(text))
    }

    /// A MAC address, as 12 digits or as 6 pairs.
    fn mac(&mut self, text: &str) -> Option<(usize, String)> {
        let bare = run(text, |letter| letter.is_ascii_hexdigit());
        if bare.len() == 12 && bare.contains(|letter: char| letter.is_ascii_digit()) && ends(text, 12) {
            return Some((12, self.of("mac", bare)));
        }
        let pairs = text.get(..17)?;
        let separator = pairs.chars().nth(2).filter(|letter| "-:".contains(*letter))?;
        let is_pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_mac = pairs.split(separator).all(is_pair) && ends(text, 17);
        is_mac.then(|| (17, self.of("mac", &pairs.replace(separator, ""))))
    }

    fn ipv6(&mut self, text: &str) -> Option<(usize, String)> {
        let run =
            run(text, |letter| letter.is_ascii_hexdigit() || letter == ':' || letter == '.').trim_end_matches('.');
        // A colon may end the clause before it.
        let shorter = run.strip_suffix(':').unwrap_or(run);
        let address = [run, shorter].into_iter().find_map(|run| Some((run.len(), run.parse::<Ipv6Addr>().ok()?)));
        address.map(|(length, address)| self.address(IpAddr::V6(address), length, text))
    }

    fn ipv4(&mut self, text: &str) -> Option<(usize, String)> {
        let run = run(text, |letter| letter.is_ascii_digit() || letter == '.').trim_end_matches('.');
        let address: Ipv4Addr = run.parse().ok()?;
        Some(self.address(IpAddr::V4(address), run.len(), text))
    }

    /// Returns the placeholder of an address with the prefix length after it, which stays.
    fn address(&mut self, address: IpAddr, length: usize, text: &str) -> (usize, String) {
        let after = text.get(length..).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
        let digits = run(after, |letter| letter.is_ascii_digit());
        let longest: u8 = if address.is_ipv6() { 128 } else { 32 };
        let prefix: Option<u8> = digits.parse().ok().filter(|prefix| *prefix <= longest);
        match prefix {
            Some(prefix) => {
                let block = format!("{address}/{prefix}");
                let shown = match PUBLIC_BLOCKS.contains(&block.as_str()) {
                    true => block,
                    false if prefix == longest => format!("{}/{prefix}", self.of("address", &address.to_string())),
                    false => format!("{}/{prefix}", self.of("network", &block)),
                };
                (length + 1 + digits.len(), shown)
            }
            None => {
                let address = address.to_string();
                let is_public = PUBLIC_ADDRESSES.contains(&address.as_str());
                (length, if is_public { address } else { self.of("address", &address) })
            }
        }
    }
}

/// Returns the start of a text whose letters all pass the test.
fn run(text: &str, is_part: impl Fn(char) -> bool) -> &str {
    text.find(|letter| !is_part(letter)).and_then(|end| text.get(..end)).unwrap_or(text)
}

/// Returns whether a word ends at this byte.
fn ends(text: &str, at: usize) -> bool {
    text.get(at..).is_some_and(|rest| !rest.starts_with(|letter: char| letter.is_alphanumeric() || letter == '-'))
}

/// Returns whether a letter is in no plain name.
pub(super) fn is_odd(letter: char) -> bool {
    !letter.is_alphanumeric() && !"_.-".contains(letter)
}

fn is_guid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len).collect::<Vec<_>>();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// Returns whether a part of a resource id is a word of Azure.
fn is_type(part: &str) -> bool {
    let part = part.to_lowercase();
    part.starts_with("microsoft.")
        || [
            "subscriptions",
            "resourcegroups",
            "providers",
            "networksecuritygroups",
            "networkmanagers",
            "securityadminconfigurations",
            "rulecollections",
            "virtualnetworks",
            "subnets",
            "networkinterfaces",
        ]
        .contains(&part.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_keep_their_words() {
        let mut known = Placeholders::default();
        known.resource("nsg-apim");
        for (given, shown) in [
            ("from 10.0.0.5 and 10.0.0.6:443.", "from address-1 and address-2:443."),
            ("10.0.0.5 again, 10.0.0.0/24", "address-1 again, network-1/24"),
            ("10.0.0.5/32, 0.0.0.0/0, 10.0.0.0/8", "address-1/32, 0.0.0.0/0, 10.0.0.0/8"),
            ("fd00:0::5 or fd00::5: both", "address-3 or address-3: both"),
            ("rule UserRule_allow-10.0.0.5 of nsg-APIM.", "rule UserRule_allow-address-1 of nsg-1."),
            ("machine 002248ABCDEF, 00-22-48-ab-cd-ef", "machine mac-1, mac-1"),
            ("2026-05-04 06:04 UTC to 2026-05-04T06:04:26.095Z", "2026-05-04 06:04 UTC to 2026-05-04T06:04:26.095Z"),
            ("F-bc6e6bea on TCP port 3443, 1.2.3 and 30.5 %", "F-bc6e6bea on TCP port 3443, 1.2.3 and 30.5 %"),
            ("see https://acct.blob.core.windows.net/c/b?x=1.", "see account-1."),
            ("acct.blob.core.windows.net", "account-1"),
            ("(5E1F0A6C-2b7d-4c39-9a84-d30b6e7715f2)", "(guid-1)"),
            (
                "/subscriptions/5e1f0a6c-2b7d-4c39-9a84-d30b6e7715f2/resourceGroups/rg/providers/Microsoft.Network/networkSecurityGroups/nsg-apim",
                "/subscriptions/guid-1/resourceGroups/resource-group-1/providers/Microsoft.Network/networkSecurityGroups/nsg-1",
            ),
        ] {
            assert_eq!(known.scrubbed(given), shown);
        }
        assert_eq!(known.sentence("x<b>y 10.0.0.5", &[("<b>".to_owned(), "nsg-2".to_owned())]), "xnsg-2y address-1");
    }
}
