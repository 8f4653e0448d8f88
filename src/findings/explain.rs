//! Findings in two to four plain sentences: what is blocked and by whom, since when, what stops working, and how sure
//! that is and what the log cannot show.

use super::finding::{Finding, Kind, Unanswered, Verdict};
use super::names::acl_name;
use super::score::{Activity, Confidence};
use crate::catalog::{Dependency, Requirement, Tag, dependency};
use crate::engine::Scope;
use crate::time::Timestamp;

/// What the words need beyond the finding itself.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub is_mode_unknown: bool,
    pub needs_correction: bool,
    /// A loaded file lists an address under the requirement's tag.
    pub is_named: bool,
    /// Of one address that keeps coming, while strangers are turned away.
    pub is_regular: bool,
    pub has_service_tags: bool,
    /// Tags of the port table that the loaded file lacks.
    pub lacking_tags: Vec<String>,
}

impl Facts {
    /// What holds for all findings of a scope.
    pub fn of(scope: &Scope) -> Self {
        Self { has_service_tags: scope.service_tags().is_some(), lacking_tags: scope.lacking_tags(), ..Self::default() }
    }
}

pub fn explanation(finding: &Finding, requirement: Option<&Requirement>, facts: &Facts) -> String {
    let known = match finding.kind {
        Kind::AmbiguousDependency => None,
        _ => finding.requirement.as_deref().and_then(dependency),
    };
    let sentences = match (finding.kind, finding.unanswered) {
        (Kind::UnlistedBlocked, _) => unlisted(finding),
        (Kind::ForcedTunnellingSuspected, Some(counts)) => {
            vec![tunnel(finding, &counts), unanswered_course(&counts, finding.state), tunnel_limits()]
        }
        (_, Some(counts)) => {
            let what = unanswered_what(finding, known, &counts);
            [
                Some(what),
                Some(unanswered_course(&counts, finding.state)),
                breaks(finding, known),
                sureness(finding, requirement, facts),
            ]
            .into_iter()
            .flatten()
            .collect()
        }
        _ => {
            [Some(what(finding, known)), course(finding), breaks(finding, known), sureness(finding, requirement, facts)]
                .into_iter()
                .flatten()
                .collect()
        }
    };
    sentences.join(" ")
}

fn what(finding: &Finding, known: Option<&Dependency>) -> String {
    let is = match finding.verdict {
        Verdict::Recovered => "was",
        _ if finding.state == Activity::Quiet => "was",
        _ => "is",
    };
    let part = if finding.verdict == Verdict::Partial { " in part" } else { "" };
    format!("{} {is} refused{part} by {}.", flow(finding, known), rule(finding))
}

fn flow(finding: &Finding, known: Option<&Dependency>) -> String {
    let ports = format!("{} {}", finding.protocol, ports(finding));
    let name = match (known, &finding.requirement) {
        (Some(known), Some(id)) => format!(" for {} ({id})", known.name),
        (None, Some(id)) => format!(" for {id} ({})", finding.purpose),
        (_, None) => String::new(),
    };
    let subnet = &finding.subnet;
    match finding.direction.as_str() {
        "outbound" => format!("Traffic out of {subnet}{name}, {ports},"),
        "inbound" => format!("Traffic into {subnet}{name}, {ports},"),
        _ => format!("Traffic inside {subnet}{name}, {ports},"),
    }
}

fn rule(finding: &Finding) -> String {
    let (rule, acl) = (finding.rule.as_deref().unwrap_or_default(), finding.acl.as_deref().unwrap_or_default());
    let acl = acl_name(acl);
    let rule = match finding.rule_origin.as_str() {
        "default" => format!("{rule}, a default rule of network security group {acl}"),
        "admin" => format!("{rule}, a security admin rule of Azure Virtual Network Manager"),
        "encryption" => "virtual network encryption, which names no rule".to_owned(),
        "platform" => "the platform itself".to_owned(),
        _ => format!("rule {rule} of network security group {acl}"),
    };
    if finding.vantage == "far" { format!("{rule}, at the other end of the connection") } else { rule }
}

fn course(finding: &Finding) -> Option<String> {
    let (first, last) = (finding.first_denied?, finding.last_denied?);
    let before = match finding.last_allowed_before {
        Some(before) => format!("it worked until {}", before.minute()),
        None => "the logs do not show it working before".to_owned(),
    };
    let now = match finding.verdict {
        Verdict::Blocked | Verdict::Unanswered => match finding.first_allowed_after {
            Some(after) => format!("the next new flow got through at {}", after.minute()),
            None => "nothing new was let through since".to_owned(),
        },
        Verdict::Partial => {
            format!("{} got through in the 24 hours before the last refusal", counted(finding.allowed_24h, "new flow"))
        }
        Verdict::Recovered => match finding.first_allowed_after {
            Some(after) => format!("it works again since {}", after.minute()),
            None => "it works again".to_owned(),
        },
        Verdict::ShareUnknown => "the logs hold no allowed flows, so how much got through is unknown".to_owned(),
    };
    let quiet = match finding.state {
        Activity::Quiet => "; in the last 24 hours of the logs no flow of it was seen at all",
        _ => "",
    };
    let before = match (finding.verdict, finding.last_allowed_before) {
        (Verdict::Partial, Some(before)) => format!("it was let through before, last at {}", before.minute()),
        _ => before,
    };
    Some(format!("It was refused {}; {before}, and {now}{quiet}.", span(finding.denied_tuples, first, last)))
}

fn span(count: i64, first: Timestamp, last: Timestamp) -> String {
    let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
    match (first.minute(), last.minute()) {
        (first, last) if first == last => format!("{times} at {first}"),
        (first, last) => format!("{times} from {first} to {last}"),
    }
}

fn unanswered_what(finding: &Finding, known: Option<&Dependency>, counts: &Unanswered) -> String {
    format!("{} is allowed by {}, but {}.", flow(finding, known), rule(finding), silence(counts))
}

fn silence(counts: &Unanswered) -> &'static str {
    if counts.unanswered == counts.connections { "gets no answer" } else { "half of it or more gets no answer" }
}

fn unanswered_course(counts: &Unanswered, state: Activity) -> String {
    let before = match counts.last_answered_before {
        Some(before) => format!("the last answer before that was at {}", before.minute()),
        None if counts.unanswered == counts.connections => "the logs show no answer at all".to_owned(),
        None => "the others were answered".to_owned(),
    };
    let now = match counts.first_answered_after.filter(|_| state == Activity::Recovered) {
        Some(after) => format!(", and answers come since {}", after.minute()),
        None => String::new(),
    };
    let span = match (counts.first, counts.last) {
        (Some(first), Some(last)) => format!(" between {} and {}", first.minute(), last.minute()),
        _ => String::new(),
    };
    format!(
        "Of {} that sent something, {} got no packet back{span}; {before}{now}.",
        counted(counts.connections, "log entry").replace("entrys", "entries"),
        counts.unanswered
    )
}

/// What no requirement asks for: what was refused, since when, and what it may be.
fn unlisted(finding: &Finding) -> Vec<String> {
    let hint = finding.hint.as_deref().unwrap_or_default();
    let what = what(finding, finding.requirement.as_deref().and_then(dependency));
    let may_be = match (&finding.requirement, finding.worked_before) {
        (Some(id), _) => format!(
            "No requirement lists these addresses, but {id} is the only required service on this port that was not seen working: {hint}."
        ),
        (None, Some(true)) => format!("No requirement asks for it, but it worked before: {hint}"),
        (None, Some(false)) => format!("No requirement asks for it, and it was never seen working: {hint}"),
        (None, None) => {
            format!("No requirement asks for it; there are too many peers to tell whether it worked before: {hint}")
        }
    };
    let may_be = if may_be.ends_with(['?', '.']) { may_be } else { format!("{may_be}.") };
    let effect = finding.effect.as_ref().map(|breaks| format!("Without it, {breaks}."));
    [Some(what), course(finding), Some(may_be), effect].into_iter().flatten().collect()
}

fn tunnel(finding: &Finding, counts: &Unanswered) -> String {
    format!(
        "What {} sends to {} is allowed by the rules, but {}: something behind the network security group swallows it, such \
         as a default route (0.0.0.0/0) to a firewall or appliance, or one that ExpressRoute announces.",
        finding.subnet,
        finding.candidates.join(", "),
        silence(counts),
    )
}

fn tunnel_limits() -> String {
    "This is likely, not certain: a flow log shows what the rules decide, and neither routes nor firewalls.".to_owned()
}

/// What stops working.
fn breaks(finding: &Finding, known: Option<&Dependency>) -> Option<String> {
    match finding.kind {
        Kind::SourceRestricted => {
            Some("Other callers get through, so this looks like a rule that turns some away on purpose.".to_owned())
        }
        Kind::AmbiguousDependency => Some(format!(
            "It may be any of {}: they share this port, and the address alone tells them apart.",
            finding.candidates.join(", ")
        )),
        _ => {
            let known = known?;
            let symptom =
                if known.symptom.is_empty() { String::new() } else { format!("; people see: {}", known.symptom) };
            let start = match finding.verdict {
                Verdict::Recovered => "While it is refused",
                Verdict::Partial => "Where it is refused",
                _ => "Without it",
            };
            Some(format!("{start}, {}{symptom}.", known.breaks))
        }
    }
}

/// How sure, why not surer, and what else to know; the log's own limit last.
fn sureness(finding: &Finding, requirement: Option<&Requirement>, facts: &Facts) -> Option<String> {
    let unchecked = match (requirement.map(Requirement::peer_tag), facts.has_service_tags) {
        (Some(Tag::Internet), _) => "any public address fits it",
        (Some(Tag::VirtualNetwork | Tag::Any), _) => "any address of the network fits it",
        (Some(Tag::Named(tag)), true) if facts.lacking_tags.contains(tag) => {
            "the loaded service-tag file lacks the service's tag"
        }
        (_, true) => "the loaded service-tag file cannot confirm the address",
        (_, false) => "no service-tag file (Microsoft's addresses of each service) was loaded to check the address",
    };
    let sure = match (finding.kind, finding.confidence) {
        (Kind::SourceRestricted, _) => None,
        (Kind::AmbiguousDependency, _) => Some(match (facts.has_service_tags, facts.lacking_tags.is_empty()) {
            (false, _) => "Which one is unknown until a service-tag file is loaded".to_owned(),
            (true, false) => format!(
                "Which one is unknown because the loaded service-tag file lacks the tags {}",
                facts.lacking_tags.join(", ")
            ),
            (true, true) => {
                "Which one is unknown because the loaded service-tag file does not list the addresses".to_owned()
            }
        }),
        (_, Confidence::Confirmed) => Some(confirmed_by(requirement)),
        (_, Confidence::Likely) => {
            Some(format!("This is likely, as no other requirement uses the port, but {unchecked}"))
        }
        (_, Confidence::Possible) => {
            Some(format!("This is only possible, as other traffic shares the port, and {unchecked}"))
        }
    };
    let outside = (finding.outside_loaded_tags > 0).then(|| {
        format!(
            "{} of the entries are of addresses that are not in the loaded file, which may be stale",
            finding.outside_loaded_tags
        )
    });
    let dns =
        finding.follows_dns.then(|| "it may follow from the refused name resolution, so mend DNS first".to_owned());
    let regular = facts.is_regular.then(|| {
        "others are turned away as strangers, but this address was refused again and again, so something needs it"
            .to_owned()
    });
    let mode = facts.is_mode_unknown.then(|| "it matters in external mode only, so say --vnet-mode".to_owned());
    let corrected = facts
        .needs_correction
        .then(|| "this edition misprints the row, and it was matched as later editions corrected it".to_owned());
    let clauses: Vec<String> =
        [sure, regular, dns, outside, mode, corrected, Some(limit(finding).to_owned())].into_iter().flatten().collect();
    let text = clauses.join("; ");
    let mut letters = text.chars();
    letters.next().map(|first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

fn confirmed_by(requirement: Option<&Requirement>) -> String {
    match requirement.map(Requirement::peer_tag) {
        Some(Tag::Named(tag)) => {
            format!("This is confirmed: Microsoft lists the other address under its service tag {tag}")
        }
        Some(Tag::AzureLoadBalancer) => "This is confirmed: the sender is Azure's load balancer".to_owned(),
        _ => "This is confirmed by port and direction".to_owned(),
    }
}

/// What a flow log cannot show of such a finding.
fn limit(finding: &Finding) -> &'static str {
    match (finding.kind, finding.direction.as_str()) {
        (Kind::UnansweredDependency, _) => "the log cannot show where on the way the packets are lost",
        (_, "outbound") => "the log cannot show whether a route or firewall behind the rule would stop it, too",
        (_, "inbound") => "the log cannot show what the sender wanted, nor whether replies would find back",
        _ => "the log cannot show whether the other machine would have answered",
    }
}

fn ports(finding: &Finding) -> String {
    let listed: Vec<String> = finding.ports.iter().take(5).map(ToString::to_string).collect();
    match finding.ports.len() {
        0 => "on any port".to_owned(),
        1 => format!("port {}", listed.concat()),
        n if n > 5 => format!("ports {} and {} more", listed.join(", "), n - 5),
        _ => format!("ports {}", listed.join(", ")),
    }
}

pub fn counted(count: i64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
