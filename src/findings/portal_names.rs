//! Converts names in the log to names in the portal.

/// Returns the last part of a resource id.
pub fn acl_name(acl: &str) -> &str {
    acl.rsplit('/').next().unwrap_or(acl)
}

/// Returns the name of a rule without the log's prefix.
pub fn rule_name(rule: &str) -> &str {
    let prefixes = ["UserRule_", "DefaultRule_"];
    prefixes.into_iter().find_map(|prefix| rule.strip_prefix(prefix)).unwrap_or(rule)
}
