//! Results of sending: where a message arrived, or what to do with it. No text holds a secret.

/// A message that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Number of requests that it took.
    pub tries: u32,
    /// Where it arrived, in words.
    pub words: String,
}

/// A message that did not arrive. Each variant is what to do with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// It may arrive later, so it stays in the outbox.
    #[error("{0}")]
    Transient(String),
    /// The receiver no longer exists, so it gets no more messages.
    #[error("{0}")]
    Gone(String),
    /// The receiver will never take it.
    #[error("{0}")]
    Refused(String),
}
