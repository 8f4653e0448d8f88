//! ParamValues for the parameters of named queries: typed, checked and bound, never pasted.

use chrono::Utc;
use datafusion::common::ScalarValue;

use super::suggest::closest_name;
use crate::net::{Prefix, parse_ip};
use crate::queries::{NamedQuery, Param, ParamKind};
use crate::remedy::Remedy;
use crate::time::typed;

/// ParamValues for the `$name` parameters of a query.
pub type ParamValues = Vec<(String, ScalarValue)>;

/// Returns the values of all parameters: those in `given`, as name and text, and the defaults for the rest. An error is
/// a message with an example of a valid value.
pub fn values(query: &NamedQuery, given: &[(String, String)]) -> Result<ParamValues, String> {
    for (name, _) in given {
        if !query.params.iter().any(|param| param.name == *name) {
            let known: Vec<&str> = query.params.iter().map(|param| param.name.as_str()).collect();
            let meant = match closest_name(name, known.iter().copied()) {
                Some(near) => format!("did you mean {near}?"),
                None if known.is_empty() => "it has none".to_owned(),
                None => format!("it has {}", known.join(", ")),
            };
            return Err(format!("{} has no parameter {name}: {meant}", query.id));
        }
    }
    let value = |param: &Param| {
        let text = given.iter().rev().find(|(name, _)| *name == param.name).map(|(_, value)| value.as_str());
        let missing = || {
            format!("{} needs {} {}={}: {}", query.id, Remedy::Param, param.name, example(param.kind), param.meaning)
        };
        let text = text.or(param.default.as_deref()).ok_or_else(missing)?;
        let value = scalar(param.kind, text).ok_or_else(|| {
            format!(
                "{} is not a valid {} for {}: write one like {}",
                text,
                param.kind.name(),
                param.name,
                example(param.kind)
            )
        })?;
        Ok((param.name.clone(), value))
    };
    query.params.iter().map(value).collect()
}

fn example(kind: ParamKind) -> &'static str {
    match kind {
        ParamKind::Integer => "20",
        ParamKind::Text => "TEXT",
        ParamKind::Time => "2026-05-04T06:00:00Z",
        ParamKind::Address => "10.20.1.5",
        ParamKind::Prefix => "10.20.1.0/24",
    }
}

fn scalar(kind: ParamKind, text: &str) -> Option<ScalarValue> {
    let is_null = text == "null";
    Some(match kind {
        ParamKind::Integer if is_null => ScalarValue::Int64(None),
        ParamKind::Integer => ScalarValue::Int64(Some(text.parse().ok()?)),
        ParamKind::Time => {
            let time = if is_null { None } else { Some(typed::time(text, Utc::now().timestamp_millis(), &Utc)?.0) };
            ScalarValue::TimestampMillisecond(time, Some("UTC".into()))
        }
        ParamKind::Text | ParamKind::Address | ParamKind::Prefix if is_null => ScalarValue::Utf8View(None),
        ParamKind::Text => ScalarValue::Utf8View(Some(text.to_owned())),
        ParamKind::Address => ScalarValue::Utf8View(Some(parse_ip(text)?.to_string())),
        ParamKind::Prefix => ScalarValue::Utf8View(Some(text.parse::<Prefix>().ok()?.to_string())),
    })
}
