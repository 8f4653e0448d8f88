//! Messages to any web service: JSON, signed as Standard Webhooks has it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use sha2::Sha256;

use super::digest::{MOST_BYTES, clip, errors, fit, length};
use super::error::{DeliveryError, Receipt};
use super::message::{Message, event};
use super::outcome::Outcome;
use super::post::{Poster, json_header};
use crate::findings::Finding;
use crate::findings::history::{Change, Transition};
use crate::job::config::secret::{SecretUrl, SigningKey};
use crate::report::{fix_in_words, name_of};
use crate::time::Timestamp;

/// Longest name and longest sentence in characters.
const LONGEST_NAME: usize = 200;
const LONGEST_TEXT: usize = 600;

/// Returns the message.
pub fn compose(outcome: &Outcome, link: Option<&str>) -> Value {
    let count = |transition: Transition| outcome.of(transition).count();
    let counts: serde_json::Map<String, Value> = (Transition::ALL.into_iter())
        .filter(|transition| *transition != Transition::Continuing)
        .map(|transition| (transition.name().to_owned(), json!(count(transition))))
        .collect();
    let status = outcome.analysis.map(|analysis| analysis.status.word);
    let message = |findings: Vec<Value>, resolved: Vec<Value>, omitted: usize| {
        json!({
            "type": event(outcome),
            "timestamp": outcome.at,
            "data": {
                "run": { "instance": clip(outcome.instance, LONGEST_NAME), "run": outcome.run, "exit": outcome.exit, "report": link },
                "summary": {
                    "status": status,
                    "since": outcome.changes.and_then(|changes| changes.since),
                    "fresh": outcome.changes.and_then(|changes| changes.fresh.as_deref()),
                    "summarised": outcome.changes.map_or(0, |changes| changes.summarised),
                    "transitions": counts,
                    "errors": errors(outcome),
                },
                "findings": findings,
                "resolved": resolved,
                "omitted": omitted,
            },
        })
    };
    let mut room = MOST_BYTES.saturating_sub(length(&message(Vec::new(), Vec::new(), usize::MAX)));
    let (findings, hidden) = fit(&mut room, usize::MAX, outcome.alarms().map(|change| entry(change, outcome)));
    let (resolved, more) = fit(&mut room, usize::MAX, outcome.resolved().map(|change| entry(change, outcome)));
    message(findings, resolved, hidden + more)
}

/// Returns a test message.
pub fn compose_test(text: &str, at: Timestamp) -> Value {
    json!({ "type": "flowgap.test", "timestamp": at, "data": { "message": text } })
}

fn entry(change: &Change, outcome: &Outcome) -> Value {
    let known = &change.finding;
    let is_same = |found: &&Finding| found.identity.fingerprint == known.fingerprint;
    let found = outcome.analysis.and_then(|analysis| analysis.findings.iter().find(is_same));
    let name = |text: &Option<String>| text.as_deref().map(|text| clip(text, LONGEST_NAME));
    json!({
        "transition": change.transition,
        "id": known.id,
        "fingerprint": known.fingerprint,
        "severity": known.severity,
        "severity_before": change.severity_before,
        "kind": known.kind,
        "name": clip(&name_of(known.kind, &known.subject), LONGEST_NAME),
        "requirement": name(&known.subject.requirement),
        "verdict": known.verdict,
        "direction": known.subject.direction,
        "protocol": clip(&known.subject.protocol, LONGEST_NAME),
        "ports": known.subject.ports.iter().take(10).collect::<Vec<_>>(),
        "subnet": clip(&known.subject.subnet, LONGEST_NAME),
        "acl": name(&known.blame.acl_name),
        "rule": name(&known.blame.rule_name),
        "first_seen": known.first_seen,
        "first_denied": known.first_denied,
        "last_denied": known.last_denied,
        "explanation": found.map(|found| clip(&found.explanation, LONGEST_TEXT)),
        "fix": found.map(|found| clip(&fix_in_words(&found.fix), LONGEST_TEXT)),
    })
}

/// Sends the message.
pub async fn send(
    url: &SecretUrl,
    keys: &[SigningKey],
    message: &Message,
    body: Bytes,
    poster: &Poster,
) -> Result<Receipt, DeliveryError> {
    let headers = |at: Timestamp| signed(&message.id, at, &body, keys);
    poster.post(url.expose(), &url.shown(), body.clone(), &headers).await?.receipt("took it")
}

/// Returns the headers of one attempt. Several keys give several signatures, of which a receiver accepts any.
fn signed(id: &str, at: Timestamp, body: &[u8], keys: &[SigningKey]) -> HeaderMap {
    let seconds = at.0.div_euclid(1000).to_string();
    let mut headers = json_header();
    let mut put = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put("webhook-id", id);
    put("webhook-timestamp", &seconds);
    let signature = |key: &SigningKey| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key.expose()).ok()?;
        [id.as_bytes(), b".", seconds.as_bytes(), b".", body].into_iter().for_each(|part| mac.update(part));
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    };
    let signatures: Vec<String> = keys.iter().filter_map(signature).collect();
    if !signatures.is_empty() {
        put("webhook-signature", &signatures.join(" "));
    }
    headers
}
