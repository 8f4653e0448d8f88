//! Requests to cancel, which arrive on connections of their own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::random::random_bytes;

/// Connections that can be asked to cancel, by their numbers.
#[derive(Default)]
pub struct Cancels(Mutex<HashMap<i32, Entry>>);

struct Entry {
    secret: i32,
    asked: Arc<Notify>,
}

/// Number and secret of a connection. Dropping it removes the connection.
pub struct Ticket {
    all: Arc<Cancels>,
    /// Number of the connection, from 1.
    pub number: i32,
    /// Secret that a request must name.
    pub secret: i32,
    /// Notified at a request.
    pub asked: Arc<Notify>,
}

impl Cancels {
    /// Adds a connection.
    pub fn add(self: &Arc<Self>) -> Ticket {
        let (secret, asked) = (i32::from_be_bytes(random_bytes()), Arc::new(Notify::new()));
        let mut entries = self.entries();
        let mut number = 0;
        while number <= 0 || entries.contains_key(&number) {
            number = i32::from_be_bytes(random_bytes());
        }
        entries.insert(number, Entry { secret, asked: Arc::clone(&asked) });
        Ticket { all: Arc::clone(self), number, secret, asked }
    }

    /// Cancels what the connection runs now, if the secret is right.
    pub fn ask(&self, number: i32, secret: i32) {
        if let Some(entry) = self.entries().get(&number).filter(|entry| entry.secret == secret) {
            entry.asked.notify_waiters();
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<i32, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.all.entries().remove(&self.number);
    }
}
