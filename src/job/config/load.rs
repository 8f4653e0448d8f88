//! Reads a configuration. An error says the file, the line, the column and what would be right, and never repeats a
//! value that came from elsewhere.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::Config;
use crate::names::UnknownName;

/// A configuration that cannot be used. The message holds no value of a variable or of a secret's file.
#[derive(Debug, thiserror::Error)]
#[error("{file}{place}: {reason}")]
pub struct ConfigError {
    file: String,
    place: String,
    reason: String,
}

/// Reads and checks the configuration `path`. `variable` looks an environment variable up.
pub fn load(path: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
    let file = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| ConfigError {
        file: file.clone(),
        place: String::new(),
        reason: error.to_string(),
    })?;
    parse(&file, &text, variable)
}

/// Checks a configuration. `file` is its name in messages. Values written `env:NAME` and `file:PATH` are replaced.
pub fn parse(file: &str, text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
    let fault = |span: Option<Range<usize>>, reason: String| ConfigError {
        file: file.to_owned(),
        place: span.map(|span| place(text, span.start)).unwrap_or_default(),
        reason,
    };
    let mut table = DeTable::parse(text).map_err(|error| fault(error.span(), error.message().to_owned()))?;
    let mut replaced = Replaced { variable, spans: BTreeSet::new(), values: Vec::new() };
    replaced.table(table.get_mut()).map_err(|(span, reason)| fault(Some(span), reason))?;
    let config = Config::deserialize(Deserializer::from(table))
        .map_err(|error| fault(error.span(), replaced.hidden(error.span().as_ref(), with_nearest(error.message()))))?;
    check(&config).map_err(|wrong| {
        let span = DeTable::parse(text).ok().and_then(|table| span_of(table.get_ref(), &wrong.at));
        let reason = replaced.hidden(span.as_ref(), wrong.reason);
        fault(span, reason)
    })?;
    Ok(config)
}

/// Reason in place of one that would repeat a value from elsewhere.
const ELSEWHERE: &str = "the value that stands there, read from elsewhere, does not fit";

/// One step to a value of a configuration.
enum Step<'a> {
    /// To the value of a key.
    Key(&'a str),
    /// To an element of a list.
    At(usize),
}

/// A value that does not fit, and why.
struct Wrong<'a> {
    at: Vec<Step<'a>>,
    reason: String,
}

/// Returns where the value is, or where the last table on the way to it is.
fn span_of(table: &DeTable, steps: &[Step]) -> Option<Range<usize>> {
    let Some((Step::Key(key), mut rest)) = steps.split_first() else { return None };
    let mut value = table.get(*key)?;
    while let Some((step, after)) = rest.split_first() {
        let next = match (step, value.get_ref()) {
            (Step::Key(key), DeValue::Table(table)) => table.get(*key),
            (Step::At(index), DeValue::Array(values)) => values.get(*index),
            _ => None,
        };
        let Some(next) = next else { break };
        (value, rest) = (next, after);
    }
    Some(value.span())
}

/// Replaces values that stand elsewhere, and remembers where.
struct Replaced<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    spans: BTreeSet<(usize, usize)>,
    values: Vec<String>,
}

type Fault = (Range<usize>, String);

impl Replaced<'_> {
    /// Returns a message, or words in its place if it is about a replaced value or repeats one. The place may be that
    /// of the list around the value.
    fn hidden(&self, span: Option<&Range<usize>>, message: String) -> String {
        let repeats =
            |value: &String| message.contains(value.as_str()) || message.contains(&value.escape_debug().to_string());
        let is_replaced = span.is_some_and(|span| self.spans.contains(&(span.start, span.end)));
        match is_replaced || self.values.iter().filter(|value| !value.is_empty()).any(repeats) {
            true => ELSEWHERE.to_owned(),
            false => message,
        }
    }

    fn table(&mut self, table: &mut DeTable) -> Result<(), Fault> {
        table.iter_mut().try_for_each(|(_, value)| self.value(value))
    }

    fn value(&mut self, value: &mut Spanned<DeValue>) -> Result<(), Fault> {
        let span = value.span();
        match value.get_mut() {
            DeValue::Table(table) => self.table(table),
            DeValue::Array(values) => values.iter_mut().try_for_each(|value| self.value(value)),
            DeValue::String(text) => {
                if let Some(other) = self.elsewhere(text).map_err(|reason| (span.clone(), reason))? {
                    self.values.push(other.clone());
                    *text = other.into();
                    self.spans.insert((span.start, span.end));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn elsewhere(&self, text: &str) -> Result<Option<String>, String> {
        if let Some(name) = text.strip_prefix("env:") {
            let value = (self.variable)(name).filter(|value| !value.is_empty());
            return value.map(Some).ok_or_else(|| format!("the environment variable {name} is not set"));
        }
        let Some(path) = text.strip_prefix("file:") else { return Ok(None) };
        let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

/// Returns line and column of a byte.
fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!(":{}:{column}", before.matches('\n').count() + 1)
}

/// Adds the known key that is most like the unknown one.
fn with_nearest(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let nearest = match quoted.as_slice() {
        [unknown, known @ ..] if message.starts_with("unknown field") => {
            let likeness = |known: &&&str| match strsim::osa_distance(unknown, known) {
                0 | 1 => 1000,
                _ => (strsim::jaro_winkler(unknown, known) * 1000.0) as u32,
            };
            known.iter().max_by_key(likeness).filter(|known| likeness(known) > 700)
        }
        _ => None,
    };
    match (nearest, quoted.first()) {
        (Some(nearest), Some(unknown)) => format!("there is no key `{unknown}`; did you mean `{nearest}`?"),
        _ => message.to_owned(),
    }
}

/// Checks what the types cannot say.
fn check(config: &Config) -> Result<(), Wrong<'_>> {
    use Step::{At, Key};
    let known: Vec<&str> = config.source.keys().map(String::as_str).collect();
    for (name, source) in &config.source {
        let wrong = |key, reason: String| Err(Wrong { at: vec![Key("source"), Key(name), Key(key)], reason });
        if source.address.is_empty() {
            return wrong("address", format!("source.{name} has no address"));
        }
        if source.lake.is_none() && source.lake_auth.is_some() {
            return wrong("lake_auth", format!("source.{name} has no lake"));
        }
    }
    if config.instance.is_empty() {
        let reason = "there is no [[instance]]: add one for each API Management instance".to_owned();
        return Err(Wrong { at: vec![Key("instance")], reason });
    }
    let mut names: Vec<&str> = Vec::new();
    for (index, instance) in config.instance.iter().enumerate() {
        let wrong = |key, reason: String| Err(Wrong { at: vec![Key("instance"), At(index), Key(key)], reason });
        let name = instance.name.as_str();
        if !is_name(name) {
            return wrong(
                "name",
                format!(
                    "the instance name '{name}' must be 1 to 64 letters, digits, - and _, because its state is named after it"
                ),
            );
        }
        if names.contains(&name) {
            return wrong("name", format!("two instances have the name {name}"));
        }
        names.push(name);
        if !config.source.contains_key(&instance.source) {
            return wrong("source", UnknownName::new(&instance.source, &known).to_string());
        }
        if !(0.0..=1.0).contains(&instance.min_coverage) {
            return wrong("min_coverage", "min_coverage is a share from 0 to 1".to_owned());
        }
    }
    for (index, receiver) in config.deliver.iter().enumerate() {
        let wrong = |key, reason: String| Err(Wrong { at: vec![Key("deliver"), At(index), Key(key)], reason });
        if config.deliver.iter().take(index).any(|other| other.name == receiver.name) {
            return wrong("name", format!("two receivers have the name {}: give them different names", receiver.name));
        }
        if let Some(unknown) = receiver.instances.iter().find(|name| !names.contains(&name.as_str())) {
            return wrong("instances", format!("there is no such instance: {}", UnknownName::new(unknown, &names)));
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
