//! Messages on their way. Each is stored before it is first sent and removed after it arrived, so that none is lost,
//! whatever happens in between. One may arrive twice; its id shows that.

use std::io;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::message::Message;
use crate::time::Timestamp;

/// Named bytes of a store, such as those of the job's state. Names have lower-case letters, digits, `-`, `_` and `.`.
#[async_trait]
pub trait Entries: Send + Sync {
    /// Stores an entry, or replaces it. It is durable when this returns.
    async fn put(&self, name: &str, bytes: Vec<u8>) -> io::Result<()>;
    /// Returns the bytes of an entry.
    async fn get(&self, name: &str) -> io::Result<Vec<u8>>;
    /// Returns the names of all entries.
    async fn list(&self) -> io::Result<Vec<String>>;
    /// Removes an entry. One that is absent is no error.
    async fn delete(&self, name: &str) -> io::Result<()>;
}

/// Prefix of the names of messages, and of those of receivers that no longer exist.
const MESSAGE: &str = "message-";
const GONE: &str = "gone-";

/// What is known of a receiver that no longer exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gone {
    /// Name of the receiver.
    pub receiver: String,
    /// Time of the message that it answered so.
    pub since: Timestamp,
}

/// A message in the outbox.
#[derive(Debug)]
pub struct Waiting {
    /// Name of its entry.
    pub name: String,
    /// The message; `None` if the entry cannot be read.
    pub message: Option<Message>,
}

/// Stores a message. One with the same id is replaced, so a run that is repeated sends it once.
pub async fn keep(entries: &dyn Entries, message: &Message) -> io::Result<()> {
    entries.put(&format!("{MESSAGE}{}.json", message.id), serde_json::to_vec(message)?).await
}

/// Returns the messages about an instance, the oldest first, and entries that cannot be read.
pub async fn waiting(entries: &dyn Entries, instance: &str) -> io::Result<Vec<Waiting>> {
    let names = entries.list().await?;
    let mut waiting = Vec::new();
    for name in names.into_iter().filter(|name| name.starts_with(MESSAGE)) {
        let message = match entries.get(&name).await {
            // Another run sent it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            read => serde_json::from_slice::<Message>(&read?).ok(),
        };
        if message.as_ref().is_none_or(|message| message.instance == instance) {
            waiting.push(Waiting { name, message });
        }
    }
    waiting.sort_by_cached_key(|waiting| (waiting.message.as_ref().map(|message| message.at), waiting.name.clone()));
    Ok(waiting)
}

/// Returns what is known of a receiver that no longer exists, given the hash of its address; `None` if it exists.
pub async fn gone(entries: &dyn Entries, address: &str) -> io::Result<Option<Gone>> {
    match entries.get(&format!("{GONE}{address}.json")).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => Ok(Some(serde_json::from_slice(&read?)?)),
    }
}

/// Remembers that a receiver no longer exists, until its address changes.
pub async fn mark_gone(entries: &dyn Entries, address: &str, gone: &Gone) -> io::Result<()> {
    entries.put(&format!("{GONE}{address}.json"), serde_json::to_vec(gone)?).await
}
