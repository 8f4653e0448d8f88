//! Explains a finding in two to four sentences: the flow and the rule, the course, the effect, and the confidence.

use super::model::{Finding, Kind, Unanswered, Verdict};
use super::score::{Confidence, State};
use crate::catalog::{Dependency, Requirement, Tag, dependency};
use crate::engine::Scope;
use crate::flow::{RuleOrigin, ScopeDirection, Vantage};
use crate::remedy::Remedy;
use crate::time::Timestamp;

/// Facts that the words need beyond the finding itself.
#[derive(Debug, Clone, Default)]
pub struct ExplainContext {
    /// Whether the finding matters in external mode only, and the mode is unknown.
    pub is_mode_unknown: bool,
    /// Whether the edition misprints the row, and a correction was matched.
    pub needs_correction: bool,
    /// Whether a loaded file lists an address under the requirement's tag.
    pub is_named: bool,
    /// Whether the finding is about one address that is refused repeatedly, while strangers are refused as well.
    pub is_regular: bool,
    /// Whether a service-tag file is loaded.
    pub has_service_tags: bool,
    /// Tags of the port table that the loaded file lacks.
    pub lacking_tags: Vec<String>,
}

impl ExplainContext {
    /// Returns the facts that all findings of a scope share.
    pub fn of(scope: &Scope) -> Self {
        Self { has_service_tags: scope.service_tags().is_some(), lacking_tags: scope.lacking_tags(), ..Self::default() }
    }
}

/// Returns the sentences, joined by blanks.
pub fn explanation(finding: &Finding, requirement: Option<&Requirement>, context: &ExplainContext) -> String {
    let known = match finding.identity.kind {
        Kind::AmbiguousDependency => None,
        _ => finding.subject.requirement.as_deref().and_then(dependency),
    };
    let state = finding.grade.state;
    let rest = || [breaks(finding, known), sureness(finding, requirement, context)].into_iter().flatten();
    let sentences: Vec<String> = match (finding.identity.kind, finding.unanswered) {
        (Kind::UnlistedBlocked, _) => unlisted(finding),
        (Kind::ForcedTunnellingSuspected, Some(counts)) => {
            vec![tunnel(finding, &counts), unanswered_course(&counts, state), tunnel_limits()]
        }
        (_, Some(counts)) => {
            let first = [unanswered_flow(finding, known, &counts), unanswered_course(&counts, state)];
            first.into_iter().chain(rest()).collect()
        }
        _ => {
            let first = [Some(refused_flow(finding, known)), course(finding)];
            first.into_iter().flatten().chain(rest()).collect()
        }
    };
    sentences.join(" ")
}

fn refused_flow(finding: &Finding, known: Option<&Dependency>) -> String {
    let is = match finding.grade.verdict {
        Verdict::Recovered => "was",
        _ if finding.grade.state == State::Quiet => "was",
        _ => "is",
    };
    let part = if finding.grade.verdict == Verdict::Partial { " in part" } else { "" };
    format!("{} {is} refused{part} by {}.", flow(finding, known), rule(finding))
}

fn flow(finding: &Finding, known: Option<&Dependency>) -> String {
    let ports = format!("{} {}", finding.subject.protocol, ports(finding));
    let name = match (known, &finding.subject.requirement) {
        (Some(known), Some(id)) => format!(" for {} ({id})", known.name),
        (None, Some(id)) => format!(" for {id} ({})", finding.subject.purpose),
        (_, None) => String::new(),
    };
    let subnet = &finding.subject.subnet;
    match finding.subject.direction {
        ScopeDirection::Outbound => format!("Traffic out of {subnet}{name}, {ports},"),
        ScopeDirection::Inbound => format!("Traffic into {subnet}{name}, {ports},"),
        ScopeDirection::Internal => format!("Traffic inside {subnet}{name}, {ports},"),
    }
}

fn rule(finding: &Finding) -> String {
    let (rule, acl) = (finding.blame.rule_text(), finding.blame.acl_text());
    let rule = match finding.blame.rule_origin {
        RuleOrigin::Default => format!("{rule}, a default rule of network security group {acl}"),
        RuleOrigin::Admin => format!("{rule}, a security admin rule of Azure Virtual Network Manager"),
        RuleOrigin::Encryption => "virtual network encryption, which names no rule".to_owned(),
        RuleOrigin::Platform => "the platform itself".to_owned(),
        RuleOrigin::User | RuleOrigin::Unknown => format!("rule {rule} of network security group {acl}"),
    };
    match finding.subject.vantage {
        Vantage::Near => rule,
        Vantage::Far => format!("{rule}, at the other end of the connection"),
    }
}

fn course(finding: &Finding) -> Option<String> {
    let (first, last) = (finding.times.first_denied?, finding.times.last_denied?);
    let before = match finding.times.last_allowed_before {
        Some(before) => format!("it worked until {}", before.minute()),
        None => "the logs do not show it working before".to_owned(),
    };
    let now = match finding.grade.verdict {
        Verdict::Blocked | Verdict::Unanswered | Verdict::Contradicted => match finding.times.first_allowed_after {
            Some(after) => format!("the next new flow got through at {}", after.minute()),
            None => "nothing new was let through since".to_owned(),
        },
        Verdict::Partial => {
            format!(
                "{} got through in the 24 hours before the last refusal",
                counted(finding.denials.allowed_24h, "new flow")
            )
        }
        Verdict::Recovered => match finding.times.first_allowed_after {
            Some(after) => format!("it works again since {}", after.minute()),
            None => "it works again".to_owned(),
        },
        Verdict::ShareUnknown => "the logs hold no allowed flows, so how much got through is unknown".to_owned(),
    };
    let quiet = match finding.grade.state {
        State::Quiet => "; in the last 24 hours of the logs no flow of it was seen at all",
        _ => "",
    };
    let before = match (finding.grade.verdict, finding.times.last_allowed_before) {
        (Verdict::Partial, Some(before)) => format!("it was let through before, last at {}", before.minute()),
        _ => before,
    };
    Some(format!("It was refused {}; {before}, and {now}{quiet}.", span(finding.denials.denied_tuples, first, last)))
}

fn span(count: i64, first: Timestamp, last: Timestamp) -> String {
    let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
    match (first.minute(), last.minute()) {
        (first, last) if first == last => format!("{times} at {first}"),
        (first, last) => format!("{times} from {first} to {last}"),
    }
}

fn unanswered_flow(finding: &Finding, known: Option<&Dependency>, counts: &Unanswered) -> String {
    format!("{} is allowed by {}, but {}.", flow(finding, known), rule(finding), silence(counts))
}

fn silence(counts: &Unanswered) -> &'static str {
    if counts.unanswered == counts.connections { "gets no answer" } else { "half of it or more gets no answer" }
}

fn unanswered_course(counts: &Unanswered, state: State) -> String {
    let before = match counts.last_answered_before {
        Some(before) => format!("the last answer before that was at {}", before.minute()),
        None if counts.unanswered == counts.connections => "the logs show no answer at all".to_owned(),
        None => "the others were answered".to_owned(),
    };
    let now = match counts.first_answered_after.filter(|_| state == State::Recovered) {
        Some(after) => format!(", and answers come since {}", after.minute()),
        None => String::new(),
    };
    let span = match (counts.first, counts.last) {
        (Some(first), Some(last)) => format!(" between {} and {}", first.minute(), last.minute()),
        _ => String::new(),
    };
    format!(
        "Of {} that sent something, {} got no packet back{span}; {before}{now}.",
        counted(counts.connections, "log entry"),
        counts.unanswered
    )
}

/// Explains refusals that no requirement asks for: the flow, its course, and a guess at it.
fn unlisted(finding: &Finding) -> Vec<String> {
    let hint = finding.meaning.hint.as_deref().unwrap_or_default();
    let refused = refused_flow(finding, finding.subject.requirement.as_deref().and_then(dependency));
    let may_be = match (&finding.subject.requirement, finding.meaning.worked_before) {
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
    let effect = finding.meaning.effect.as_ref().map(|breaks| format!("Without it, {breaks}."));
    [Some(refused), course(finding), Some(may_be), effect].into_iter().flatten().collect()
}

fn tunnel(finding: &Finding, counts: &Unanswered) -> String {
    format!(
        "What {} sends to {} is allowed by the rules, but {}: something behind the network security group swallows it, such \
         as a default route (0.0.0.0/0) to a firewall or appliance, or one that ExpressRoute announces.",
        finding.subject.subnet,
        finding.subject.candidates.join(", "),
        silence(counts),
    )
}

fn tunnel_limits() -> String {
    "This is likely, not certain: a flow log shows what the rules decide, and neither routes nor firewalls.".to_owned()
}

/// Returns the sentence about the functions that stop working.
fn breaks(finding: &Finding, known: Option<&Dependency>) -> Option<String> {
    match finding.identity.kind {
        Kind::SourceRestricted => {
            Some("Other callers get through, so this looks like a rule that turns some away on purpose.".to_owned())
        }
        Kind::AmbiguousDependency => Some(format!(
            "It may be any of {}: they share this port, and the address alone tells them apart.",
            finding.subject.candidates.join(", ")
        )),
        _ => {
            let known = known?;
            let symptom =
                if known.symptom.is_empty() { String::new() } else { format!("; people see: {}", known.symptom) };
            let start = match finding.grade.verdict {
                Verdict::Recovered => "While it is refused",
                Verdict::Partial => "Where it is refused",
                _ => "Without it",
            };
            Some(format!("{start}, {}{symptom}.", known.breaks))
        }
    }
}

/// Returns the sentence about the confidence and its reasons. The limit of the log comes last.
fn sureness(finding: &Finding, requirement: Option<&Requirement>, context: &ExplainContext) -> Option<String> {
    let outside = match finding.addresses.outside_loaded_tags {
        ..=0 => None,
        tuples => Some(format!(
            "{tuples} of the entries are of addresses that are not in the loaded file, which may be stale"
        )),
    };
    let clauses = [
        (context.is_mode_unknown, "it matters in external mode only, so say {vnet-mode}"),
        (context.needs_correction, "this edition misprints the row, and it was matched as later editions corrected it"),
    ];
    let [mode, corrected] = clauses.map(|(holds, words)| holds.then(|| Remedy::spell(words)));
    let regular = context.is_regular.then(|| {
        "others are turned away as strangers, but this address was refused again and again, so something needs it"
            .to_owned()
    });
    let sure = sure(finding, requirement, context);
    let clauses: Vec<String> =
        [sure, regular, outside, mode, corrected, Some(limit(finding).to_owned())].into_iter().flatten().collect();
    let text = clauses.join("; ");
    let mut letters = text.chars();
    letters.next().map(|first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

/// Returns the clause about the confidence, with the reason why it is not higher.
fn sure(finding: &Finding, requirement: Option<&Requirement>, context: &ExplainContext) -> Option<String> {
    match (finding.identity.kind, finding.grade.confidence) {
        (Kind::SourceRestricted, _) => None,
        (Kind::AmbiguousDependency, _) => Some(match (context.has_service_tags, context.lacking_tags.is_empty()) {
            (false, _) => "Which one is unknown until a service-tag file is loaded".to_owned(),
            (true, false) => format!(
                "Which one is unknown because the loaded service-tag file lacks the tags {}",
                context.lacking_tags.join(", ")
            ),
            (true, true) => {
                "Which one is unknown because the loaded service-tag file does not list the addresses".to_owned()
            }
        }),
        (_, Confidence::Confirmed) => Some(confirmed_by(requirement)),
        (_, Confidence::Likely) => Some(format!(
            "This is likely, as no other requirement uses the port, but {}",
            unchecked(requirement, context)
        )),
        (_, Confidence::Possible) => Some(format!(
            "This is only possible, as other traffic shares the port, and {}",
            unchecked(requirement, context)
        )),
    }
}

/// Returns the reason why nothing confirms the address.
fn unchecked(requirement: Option<&Requirement>, context: &ExplainContext) -> &'static str {
    match (requirement.map(Requirement::peer_tag), context.has_service_tags) {
        (Some(Tag::Internet), _) => "any public address fits it",
        (Some(Tag::VirtualNetwork | Tag::Any), _) => "any address of the network fits it",
        (Some(Tag::Named(tag)), true) if context.lacking_tags.contains(tag) => {
            "the loaded service-tag file lacks the service's tag"
        }
        (_, true) => "the loaded service-tag file cannot confirm the address",
        (_, false) => "no service-tag file (Microsoft's addresses of each service) was loaded to check the address",
    }
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

/// Returns the clause about the facts that a flow log cannot show for such a finding.
fn limit(finding: &Finding) -> &'static str {
    match (finding.identity.kind, finding.subject.direction) {
        (Kind::UnansweredDependency, _) => "the log cannot show where on the way the packets are lost",
        (_, ScopeDirection::Outbound) => {
            "the log cannot show whether a route or firewall behind the rule would stop it, too"
        }
        (_, ScopeDirection::Inbound) => {
            "the log cannot show what the sender wanted, nor whether replies would find back"
        }
        (_, ScopeDirection::Internal) => "the log cannot show whether the other machine would have answered",
    }
}

fn ports(finding: &Finding) -> String {
    let listed: Vec<String> = finding.subject.ports.iter().take(5).map(ToString::to_string).collect();
    match finding.subject.ports.len() {
        0 => "on any port".to_owned(),
        1 => format!("port {}", listed.concat()),
        n if n > 5 => format!("ports {} and {} more", listed.join(", "), n - 5),
        _ => format!("ports {}", listed.join(", ")),
    }
}

/// Returns a number with a comma between thousands.
pub fn number(value: impl Into<i128>) -> String {
    let value = value.into();
    let digits = value.unsigned_abs().to_string();
    let mut text = String::from(if value < 0 { "-" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a count with its noun, in the plural unless it is 1.
pub fn counted(count: i64, noun: &str) -> String {
    match (count, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) if !stem.ends_with(['a', 'e', 'o']) => format!("{} {stem}ies", number(count)),
        _ => format!("{} {noun}s", number(count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        for (value, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567"), (10_000, "10,000")] {
            assert_eq!(number(value), text);
        }
    }
}
