//! Writes rules as commands of Azure PowerShell. All of them are one block, so that a missing value stops all.

use super::rule::{Place, Rule, Value};
use crate::report::sink::padded;

/// Returns the block that adds the rules.
pub fn create(place: &Place, rules: &[Rule]) -> String {
    let mut lines = Vec::new();
    for (number, rule) in (1..).zip(rules) {
        lines.push(format!("    $rule{number} = @{{"));
        lines.extend(settings(rule).map(|(name, value)| format!("        {} = {value}", padded(name, 24))));
        lines.push("    }".to_owned());
    }
    let steps = (1..=rules.len()).map(|number| format!("Add-AzNetworkSecurityRuleConfig @rule{number}"));
    block(place, lines, steps)
}

/// Returns the block that removes the rules.
pub fn delete(place: &Place, rules: &[Rule]) -> String {
    let steps = rules.iter().map(|rule| format!("Remove-AzNetworkSecurityRuleConfig -Name {}", text(&rule.name)));
    block(place, Vec::new(), steps)
}

/// Returns the block that gives a rule another priority.
pub fn set_priority(place: &Place, rule: &Rule, priority: &Value) -> String {
    let is_rule = format!("Where-Object Name -EQ {}", text(&rule.name));
    let set = format!("ForEach-Object {{ ($_.SecurityRules | {is_rule}).Priority = {}; $_ }}", number(priority));
    block(place, Vec::new(), [set].into_iter())
}

/// Returns a block that reads the group, changes it by `steps` and writes it back as a whole.
fn block(place: &Place, lines: Vec<String>, steps: impl Iterator<Item = String>) -> String {
    let Place { subscription, resource_group, nsg } = place;
    let get = format!(
        "Get-AzNetworkSecurityGroup -ResourceGroupName {} -Name {} -ErrorAction Stop",
        text(resource_group),
        text(nsg)
    );
    let steps: Vec<String> = [get].into_iter().chain(steps).chain(["Set-AzNetworkSecurityGroup".to_owned()]).collect();
    let mut block = vec!["& {".to_owned()];
    block.extend(lines);
    block.push(format!("    Set-AzContext -Subscription {} -ErrorAction Stop | Out-Null", text(subscription)));
    block.push(format!("    {}", steps.join(" |\n        ")));
    block.push("}".to_owned());
    block.join("\n")
}

fn settings(rule: &Rule) -> impl Iterator<Item = (&'static str, String)> {
    let texts = |values: &[Value]| values.iter().map(text).collect::<Vec<_>>().join(", ");
    [
        ("Name", text(&rule.name)),
        ("Description", quoted(&rule.description)),
        ("Access", quoted("Allow")),
        ("Protocol", quoted(rule.protocol)),
        ("Direction", quoted(rule.direction())),
        ("Priority", number(&rule.priority)),
        ("SourceAddressPrefix", texts(&rule.source)),
        ("SourcePortRange", quoted("*")),
        ("DestinationAddressPrefix", texts(&rule.destination)),
        ("DestinationPortRange", rule.ports.iter().map(|port| quoted(port)).collect::<Vec<_>>().join(", ")),
    ]
    .into_iter()
}

fn text(value: &Value) -> String {
    match value {
        Value::Known(text) => quoted(text),
        Value::Asked(asked) => format!("$(throw '{}')", asked.hint),
    }
}

fn number(value: &Value) -> String {
    match value {
        Value::Known(number) => number.clone(),
        Value::Asked(_) => text(value),
    }
}

/// Writes a string in single quotes. PowerShell takes four other characters for single quotes, too.
fn quoted(text: &str) -> String {
    let quotes = ['\'', '\u{2018}', '\u{2019}', '\u{201a}', '\u{201b}'];
    let doubled = |letter: char| std::iter::repeat_n(letter, 1 + usize::from(quotes.contains(&letter)));
    format!("'{}'", text.chars().flat_map(doubled).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_quote_is_doubled() {
        assert_eq!(quoted("it's ’$x` \"y"), "'it''s ’’$x` \"y'");
    }
}
