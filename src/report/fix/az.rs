//! Writes rules as commands of the Azure CLI for bash.

use super::rule::{Place, Rule, Value};
use crate::report::sink::shell_word;

const INDENT: &str = "    ";

/// A command: its first words, then each option with its values. Every word is quoted for bash.
pub struct Command(Vec<Vec<String>>);

impl Command {
    /// Returns a command for the group of `place`.
    pub fn new(verb: &str, place: &Place, group: &str) -> Self {
        let mut command = Self(vec![verb.split(' ').map(str::to_owned).collect()]);
        command.option("--subscription", [word(&place.subscription)]);
        command.option("-g", [word(&place.resource_group)]);
        if !group.is_empty() {
            command.option(group, [word(&place.nsg)]);
        }
        command
    }

    fn option(&mut self, name: &str, values: impl IntoIterator<Item = String>) {
        self.0.push([name.to_owned()].into_iter().chain(values).collect());
    }

    /// Returns the command on one line.
    pub fn one_line(&self) -> String {
        self.0.concat().join(" ")
    }

    /// Returns the command broken with `\` between words into lines of `width`, an option beside its values where they
    /// fit.
    pub fn broken(&self, width: usize) -> String {
        let fits = |line: &str, words: &str| line.chars().count() + 1 + words.chars().count() + 2 <= width;
        let (mut lines, mut line) = (Vec::new(), String::new());
        for unit in &self.0 {
            let whole = unit.join(" ");
            let pieces = if fits(INDENT, &whole) { vec![&whole] } else { unit.iter().collect() };
            for piece in pieces {
                if line.is_empty() {
                    line = piece.clone();
                } else if fits(&line, piece) {
                    line = format!("{line} {piece}");
                } else {
                    lines.push(line);
                    line = format!("{INDENT}{piece}");
                }
            }
        }
        lines.push(line);
        lines.join(" \\\n")
    }
}

/// Returns the command that adds a rule, or that moves an existing one.
pub fn create(place: &Place, rule: &Rule) -> Command {
    if rule.moved_from.is_some() {
        return update(place, rule, &rule.priority);
    }
    let mut command = Command::new("az network nsg rule create", place, "--nsg-name");
    let words = |values: &[Value]| values.iter().map(word).collect::<Vec<_>>();
    command.option("-n", [word(&rule.name)]);
    command.option("--priority", [word(&rule.priority)]);
    command.option("--direction", [rule.direction().to_owned()]);
    command.option("--access", ["Allow".to_owned()]);
    command.option("--protocol", [rule.protocol.to_owned()]);
    command.option("--source-address-prefixes", words(&rule.source));
    command.option("--source-port-ranges", [shell_word("*")]);
    command.option("--destination-address-prefixes", words(&rule.destination));
    command.option("--destination-port-ranges", rule.ports.iter().map(|port| shell_word(port)));
    command.option("--description", [shell_word(&rule.description)]);
    command
}

/// Returns the command that gives a rule another priority.
fn update(place: &Place, rule: &Rule, priority: &Value) -> Command {
    let mut command = Command::new("az network nsg rule update", place, "--nsg-name");
    command.option("-n", [word(&rule.name)]);
    command.option("--priority", [word(priority)]);
    command
}

/// Returns the command that deletes a rule, or that moves an existing one back.
pub fn delete(place: &Place, rule: &Rule) -> Command {
    if let Some(before) = &rule.moved_from {
        return update(place, rule, before);
    }
    let mut command = Command::new("az network nsg rule delete", place, "--nsg-name");
    command.option("-n", [word(&rule.name)]);
    command
}

/// Returns the command that lists the rules of the group.
pub fn list(place: &Place) -> String {
    let mut command = Command::new("az network nsg rule list", place, "--nsg-name");
    command.option("-o", ["table".to_owned()]);
    command.one_line()
}

fn word(value: &Value) -> String {
    match value {
        Value::Known(text) => shell_word(text),
        Value::Asked(asked) => format!("\"${{{}:?{}}}\"", asked.name.to_uppercase(), asked.hint),
    }
}
