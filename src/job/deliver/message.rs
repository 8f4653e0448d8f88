//! Messages: what one receiver gets about one run. Free of secrets, so that they may lie in an outbox.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::outcome::Outcome;
use crate::time::Timestamp;

/// Bytes of a hash that are kept for an id.
const ID_BYTES: usize = 16;

/// What one receiver gets about one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Id by which receivers recognise a message that arrives twice.
    pub id: String,
    /// Name of the receiver.
    pub receiver: String,
    /// Name of the instance.
    pub instance: String,
    /// Time of the run.
    pub at: Timestamp,
    /// The message itself, in the form of the receiver's kind.
    pub body: Body,
}

/// Body of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// UTF-8.
    Text(String),
    /// Base64 of anything else, such as a Parquet file.
    Base64(String),
}

impl Body {
    /// Wraps the bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self::Text(text),
            Err(error) => Self::Base64(STANDARD.encode(error.as_bytes())),
        }
    }

    /// Returns the bytes. Fails if the base64 is damaged.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>, base64::DecodeError> {
        match self {
            Self::Text(text) => Ok(Cow::Borrowed(text.as_bytes())),
            Self::Base64(text) => STANDARD.decode(text).map(Cow::Owned),
        }
    }
}

/// Returns the id of a message to a receiver. A run that starts from the same state and finds the same makes the same
/// id, so a message that is made twice is recognised.
pub fn id(receiver: &str, outcome: &Outcome) -> String {
    let run = outcome.run.to_string();
    let head = [outcome.instance, receiver, &run, event(outcome)].map(str::to_owned);
    let transition = |change: &crate::findings::history::Change| {
        format!("{} {} {}", change.transition, change.finding.severity, change.finding.fingerprint)
    };
    let mut parts: Vec<String> = outcome.changed().map(transition).collect();
    parts.sort_unstable();
    format!("msg_{}", hash(head.iter().chain(&parts)))
}

/// Returns the kind of the event that a message is about.
pub fn event(outcome: &Outcome) -> &'static str {
    match outcome.changed().next() {
        Some(_) => "flowgap.findings.changed",
        None if outcome.is_error() => "flowgap.run.failed",
        None => "flowgap.run.finished",
    }
}

/// Returns a hash of texts as hex digits. No two lists of texts are hashed alike.
pub fn hash<'a>(parts: impl IntoIterator<Item = &'a String>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().iter().take(ID_BYTES).map(|byte| format!("{byte:02x}")).collect()
}
