//! Findings in words: what is blocked, by whom, since when, how sure that is, and what would open it.

use super::finding::{Finding, Fix, Kind, Verdict};
use super::score::Confidence;
use crate::catalog::{Requirement, RowDirection};

/// What the words need beyond the finding itself.
pub struct Context {
    pub is_mode_capped: bool,
    pub needs_correction: bool,
    pub has_service_tags: bool,
}

pub fn explanation(finding: &Finding, context: &Context) -> String {
    let mut sentences = vec![what(finding), course(finding)];
    sentences.extend(sureness(finding, context));
    if context.is_mode_capped {
        sentences.push("This row applies only to an instance in external mode; say --vnet-mode if it is.".to_owned());
    }
    if context.needs_correction {
        sentences.push(
            "The edition prints this row otherwise; later editions corrected it, and so it was matched.".to_owned(),
        );
    }
    if finding.outside_loaded_tags > 0 {
        sentences.push(format!(
            "{} went to addresses that the loaded service-tag file does not list under this service: the file may be older than they are.",
            counted(finding.outside_loaded_tags, "tuple"),
        ));
    }
    sentences.join(" ")
}

fn what(finding: &Finding) -> String {
    let flow = format!("{} {}", finding.protocol, ports(finding));
    let flow = match finding.direction.as_str() {
        "outbound" => format!("Outbound {flow} from {}", finding.subnet),
        "inbound" => format!("Inbound {flow} to {}", finding.subnet),
        _ => format!("{flow} between addresses of {}", finding.subnet),
    };
    let place = if finding.vantage == "far" { " at the other end" } else { "" };
    format!("{flow} (needed for {}) is denied by rule {}{place}.", finding.purpose, finding.rule)
}

fn course(finding: &Finding) -> String {
    let (Some(first), Some(last)) = (finding.first_denied, finding.last_denied) else { return String::new() };
    let denied = counted(finding.denied_tuples, "denied tuple");
    let before = match finding.last_allowed_before {
        Some(before) => format!("it worked until {before}"),
        None => "no flow of this kind was allowed before".to_owned(),
    };
    let now = match finding.verdict {
        Verdict::Blocked => "nothing new has been allowed since".to_owned(),
        Verdict::Partial => {
            format!("in the last 24 hours of it {} got through", counted(finding.allowed_24h, "new flow"))
        }
        Verdict::Recovered => match finding.first_allowed_after {
            Some(after) => format!("it works again since {after}"),
            None => "it works again".to_owned(),
        },
        Verdict::ShareUnknown => "allowed flows are not in the logs, so the share cannot be known".to_owned(),
    };
    let are = if finding.denied_tuples == 1 { "is" } else { "are" };
    format!("There {are} {denied} from {first} to {last}; {before}, and {now}.")
}

fn sureness(finding: &Finding, context: &Context) -> Option<String> {
    let load = if context.has_service_tags { "" } else { "; a service-tag file would tell" };
    match (finding.kind, finding.confidence) {
        (Kind::AmbiguousDependency, _) => Some(format!(
            "Several dependencies share this port, and the address does not tell which it is: {}{load}.",
            finding.candidates.join(", "),
        )),
        (Kind::SourceRestricted, _) => {
            Some("Other clients get through, so this looks like a policy that turns some away.".to_owned())
        }
        (_, Confidence::Confirmed) => None,
        (_, Confidence::Likely) => {
            Some(format!("That it is this dependency is likely, for no other one uses the port{load}."))
        }
        (_, Confidence::Possible) => {
            Some(format!("That it is this dependency is only possible, for other traffic shares the port{load}."))
        }
    }
}

fn ports(finding: &Finding) -> String {
    let listed: Vec<String> = finding.ports.iter().take(5).map(ToString::to_string).collect();
    match finding.ports.len() {
        0 => "on any port".to_owned(),
        n if n > 5 => format!("{} and {} more ports", listed.join(", "), n - 5),
        _ => listed.join(", "),
    }
}

pub fn counted(count: i64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

pub fn no_fix() -> Fix {
    Fix {
        kind: "none",
        direction: None,
        source: None,
        destination: None,
        ports: Vec::new(),
        protocol: None,
        note: String::new(),
    }
}

pub fn fix(finding: &Finding, requirement: Option<&Requirement>) -> Fix {
    let note = |kind, note: &str| Fix { kind, note: note.to_owned(), ..no_fix() };
    match (finding.kind, finding.rule_origin.as_str()) {
        (Kind::SourceRestricted, _) => return note("none", "Nothing to open if turning these clients away is wanted."),
        (Kind::AmbiguousDependency, _) => {
            return note(
                "load-service-tags",
                "Run again with --service-tags and the newest ServiceTags_*.json of your cloud to learn which dependency it is.",
            );
        }
        (_, "platform") => {
            return note("none", "The platform itself handles this traffic; no rule of yours changes it.");
        }
        (_, "encryption") => {
            return note(
                "encryption",
                "Virtual network encryption dropped it; no NSG rule will help. Check the encryption setting of the network.",
            );
        }
        _ => {}
    }
    let Some(requirement) = requirement else { return no_fix() };
    // The rule must stand where the flow was refused: at the other end its direction is the opposite.
    let direction = match (finding.direction.as_str(), finding.vantage.as_str()) {
        ("outbound", "near") | ("inbound", "far") => "outbound",
        ("inbound", "near") | ("outbound", "far") => "inbound",
        _ => match requirement.direction {
            RowDirection::Both => "inbound and outbound",
            other => other.name(),
        },
    };
    let ports = requirement.ports.split(';').filter(|port| !port.starts_with('[')).map(str::to_owned).collect();
    let (kind, note) = match finding.rule_origin.as_str() {
        "admin" => (
            "admin-rule",
            format!(
                "{} is a security admin rule of Virtual Network Manager: no NSG rule can override it. Change it there.",
                finding.rule
            ),
        ),
        _ => (
            "allow-rule",
            format!(
                "Add an allow rule with a smaller priority number than {} to {}.",
                finding.rule,
                acl_name(&finding.acl)
            ),
        ),
    };
    Fix {
        kind,
        direction: Some(direction.to_owned()),
        source: Some(requirement.source.name().to_owned()),
        destination: Some(requirement.destination.name().to_owned()),
        ports,
        protocol: Some(requirement.protocol_text()),
        note,
    }
}

/// The last part of a resource id.
pub fn acl_name(acl: &str) -> &str {
    acl.rsplit('/').next().unwrap_or(acl)
}
