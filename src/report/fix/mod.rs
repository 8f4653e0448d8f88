//! Renders the fix of a finding as text to paste: one file per target. Takes findings, returns text, and knows neither
//! the configuration of the network nor how findings are made.

mod az;
mod bicep;
mod moved;
mod portal;
mod powershell;
mod rule;
mod terraform;

pub use rule::{Place, Placeholder, Rule, Value};

use std::collections::BTreeSet;

use crate::findings::{Analysis, Change, Commands, Finding};
use crate::flow::RuleOrigin;
use crate::names::names;
use crate::report::layout::WIDTH;

/// Tool that a fix is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Commands of the Azure CLI, for bash.
    Az,
    /// Bicep file.
    Bicep,
    /// Terraform's provider `azurerm`.
    Terraform,
    /// Commands of Azure PowerShell.
    PowerShell,
    /// Values to choose in the portal.
    Portal,
}

names!(Target {
    Az = "az",
    Bicep = "bicep",
    Terraform = "terraform",
    PowerShell = "powershell",
    Portal = "portal",
});

impl Target {
    /// Returns the start of a comment, which is empty in the portal.
    pub fn comment(self) -> &'static str {
        match self {
            Self::Az | Self::Terraform | Self::PowerShell => "# ",
            Self::Bicep => "// ",
            Self::Portal => "",
        }
    }
}

/// A fix as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    /// Text that makes the change.
    pub change: String,
    /// Text that reverts the change.
    pub undo: String,
    /// Sentences to read before the change, one line each.
    pub cautions: Vec<String>,
}

/// Rules to add to one network security group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The network security group.
    pub place: Place,
    /// Rules with distinct names.
    pub rules: Vec<Rule>,
    /// Finding of each rule or several, with its advice.
    pub advice: Vec<Advice>,
}

/// Words about one finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// Id of the finding.
    pub finding: String,
    /// Its requirement, if it has one.
    pub requirement: Option<String>,
    /// What to do, in words.
    pub words: String,
}

/// Fixes of several findings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Rules by network security group, in the order of the findings.
    pub groups: Vec<Group>,
    /// Findings that no rule fixes.
    pub in_words: Vec<Advice>,
}

/// Returns the fixes of `findings`. Findings that need the same rule share it.
pub fn plan<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Plan {
    let mut plan = Plan::default();
    for finding in findings {
        let advice = |words: String| Advice {
            finding: finding.identity.id.clone(),
            requirement: finding.subject.requirement.clone(),
            words,
        };
        match rule::rules(finding) {
            Ok(rules) => {
                let place = rule::place(finding.blame.acl.as_deref());
                let at = plan.groups.iter().position(|group| is_same(&group.place, &place)).unwrap_or_else(|| {
                    plan.groups.push(Group { place, rules: Vec::new(), advice: Vec::new() });
                    plan.groups.len() - 1
                });
                if let Some(group) = plan.groups.get_mut(at) {
                    rules.into_iter().for_each(|rule| group.add(rule));
                    group.advice.push(advice(finding.fix.note.clone()));
                }
            }
            Err(words) => plan.in_words.push(advice(words)),
        }
    }
    plan
}

/// Returns the fix of one finding, or `None` if no rule fixes it.
pub fn render(finding: &Finding, target: Target) -> Option<Rendered> {
    plan([finding]).groups.first().map(|group| group.render(target))
}

/// Returns the fix of one finding as commands of the Azure CLI, each on one line. There are none if no rule fixes it.
pub fn az_lines(finding: &Finding) -> Vec<String> {
    az_commands(finding, |command| command.one_line())
}

/// Returns the fix of one finding as commands of the Azure CLI, each broken into lines of `width`. There are none if no
/// rule fixes it.
pub fn az_broken(finding: &Finding, width: usize) -> Vec<String> {
    az_commands(finding, |command| command.broken(width))
}

fn az_commands(finding: &Finding, write: impl Fn(&az::Command) -> String) -> Vec<String> {
    let plan = plan([finding]);
    let commands = plan.groups.iter().flat_map(|group| group.rules.iter().map(|rule| az::create(&group.place, rule)));
    commands.map(|command| write(&command)).collect()
}

/// Fills the commands and the undo of every fix that is a rule, so that JSON has them. Leaves out refusals that nothing
/// is known to need, because there may be thousands of them.
pub fn fill(analysis: &mut Analysis) {
    for finding in analysis.findings.iter_mut().filter(|finding| !finding.is_unneeded()) {
        let plan = plan([&*finding]);
        let Some(group) = plan.groups.first() else { continue };
        let [az, bicep, terraform, powershell] =
            [Target::Az, Target::Bicep, Target::Terraform, Target::PowerShell].map(|target| group.render(target));
        if let Change::AllowRule(rule) = &mut finding.fix.change {
            rule.undo = Some(az.undo);
            rule.commands = Commands {
                az: Some(az.change),
                bicep: Some(bicep.change),
                terraform: Some(terraform.change),
                powershell: Some(powershell.change),
            };
        }
    }
}

/// Returns commands and places that show whether the finding is right and where its cause is.
pub fn checks(finding: &Finding) -> Vec<String> {
    let place = rule::place(finding.blame.acl.as_deref());
    let status = "portal: API Management, Network, Network status".to_owned();
    match finding.blame.rule_origin {
        _ if !finding.identity.kind.is_denial() => vec![
            "az network route-table route list -g \"${RESOURCE_GROUP:?its resource group}\" --route-table-name \"${ROUTE_TABLE:?the route table of the subnet}\" -o table".to_owned(),
            "az network vnet-gateway list-learned-routes -g \"${RESOURCE_GROUP:?its resource group}\" -n \"${GATEWAY:?the gateway of the network}\" -o table".to_owned(),
            status,
        ],
        RuleOrigin::Admin => vec!["portal: Network Manager, Configurations, security admin rules".to_owned(), status],
        RuleOrigin::Encryption => vec!["portal: the virtual network, Properties, Encryption".to_owned(), status],
        _ => vec![az::list(&place), status],
    }
}

/// Returns whether both are one group. Names in Azure do not depend on case.
fn is_same(one: &Place, other: &Place) -> bool {
    let key = |place: &Place| {
        [&place.subscription, &place.resource_group, &place.nsg].map(|value| match value {
            Value::Known(text) => Some(text.to_lowercase()),
            Value::Asked(_) => None,
        })
    };
    key(one) == key(other)
}

impl Group {
    fn add(&mut self, mut rule: Rule) {
        if self.rules.iter().any(|known| known.is_twin(&rule)) {
            return;
        }
        let number = self.rules.len() + 1;
        if !rule.name.is_asked() && self.rules.iter().any(|known| known.name == rule.name) {
            rule.rename(number);
        }
        if number > 1 {
            rule.number(number);
        }
        self.rules.push(rule);
    }

    /// Writes the rules for a target.
    pub fn render(&self, target: Target) -> Rendered {
        let is_moved = |rule: &&Rule| rule.moved_from.is_some() && target != Target::Az;
        let (moved, new): (Vec<&Rule>, Vec<&Rule>) = self.rules.iter().partition(is_moved);
        let mut rendered = match (new.is_empty(), moved.is_empty()) {
            (true, false) => Rendered::default(),
            (_, true) => self.render_new(target),
            _ => Self { rules: new.into_iter().cloned().collect(), ..self.clone() }.render_new(target),
        };
        for part in moved.into_iter().filter_map(|rule| moved::render(target, &self.place, rule)) {
            let joined = |one: &str, other: &str| [one, other].join("\n").trim().to_owned();
            rendered.change = joined(&rendered.change, &part.change);
            rendered.undo = joined(&rendered.undo, &part.undo);
        }
        rendered
    }

    fn render_new(&self, target: Target) -> Rendered {
        let Self { place, rules, .. } = self;
        let deletions = || rules.iter().map(|rule| az::delete(place, rule));
        let az_undo = |write: fn(&az::Command) -> String| deletions().map(|c| write(&c)).collect::<Vec<_>>().join("\n");
        let own = |words: &str| words.to_owned();
        match target {
            Target::Az => Rendered {
                change: rules.iter().map(|rule| az::create(place, rule).broken(WIDTH)).collect::<Vec<_>>().join("\n"),
                undo: az_undo(az::Command::one_line),
                cautions: vec![
                    own(
                        "A rule of the same name is replaced without a warning. This lists the rules and their numbers:",
                    ),
                    az::list(place),
                ],
            },
            Target::Bicep => Rendered {
                change: bicep::create(place, rules),
                undo: az_undo(az::Command::one_line),
                cautions: vec![
                    own(
                        "If a template deploys the network security group with a list securityRules, add the rule to that list instead, or its next deployment removes it. Deploy this file with:",
                    ),
                    format!(
                        "{} --template-file FILE",
                        az::Command::new("az deployment group create", place, "").one_line()
                    ),
                ],
            },
            Target::Terraform => Rendered {
                change: terraform::create(place, rules),
                undo: terraform::delete(rules).join("\n"),
                cautions: vec![own(
                    "If the network security group has blocks security_rule of its own, add it there as such a block: the two forms conflict.",
                )],
            },
            Target::PowerShell => Rendered {
                change: powershell::create(place, rules),
                undo: powershell::delete(place, rules),
                cautions: vec![own(
                    "This writes the whole network security group: a change that is made at the same moment is lost.",
                )],
            },
            Target::Portal => Rendered {
                change: portal::create(place, rules),
                undo: portal::delete(place, rules),
                cautions: Vec::new(),
            },
        }
    }
}

/// Returns the placeholders among `values`, each name once.
fn asked<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<&'a Placeholder> {
    let mut seen = BTreeSet::new();
    let placeholders = values.into_iter().filter_map(|value| match value {
        Value::Asked(placeholder) => Some(placeholder),
        Value::Known(_) => None,
    });
    placeholders.filter(|placeholder| seen.insert(&placeholder.name)).collect()
}

/// Returns the names of the rules' blocks in Bicep and Terraform. Names that would be equal get a number.
fn labels(rules: &[Rule]) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for rule in rules {
        let label = match &rule.name {
            Value::Known(name) => name.to_lowercase().replace(['-', '.'], "_"),
            Value::Asked(_) => "allow".to_owned(),
        };
        let numbered = (2..).map(|number| format!("{label}_{number}"));
        let free = [label.clone()].into_iter().chain(numbered).find(|label| !labels.contains(label));
        labels.push(free.unwrap_or(label));
    }
    labels
}
