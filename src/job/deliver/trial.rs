//! Test messages: plainly marked, and without effect on reports, metrics and the outbox.

use super::message::{Body, Message, hash};
use super::{Sender, Sent, log_analytics, slack, teams, webhook};
use crate::job::config::receiver::{Receiver, Target};
use crate::time::Timestamp;

/// The message.
const TEXT: &str = "Test message of flowgap: this receiver works. Nothing was analyzed.";
/// Ending of test files, so that they replace no report, and no collector reads them.
const ENDING: &str = ".test";

impl Receiver {
    /// Sends a test message. A path is filled in for `instance`, unless the receiver has instances of its own.
    pub async fn send_test(&self, instance: &str, at: Timestamp, sender: &Sender) -> Sent {
        let id = format!("msg_test_{}", hash([&self.name, &at.to_string()]));
        let (body, target) = match &self.target {
            Target::File { path } => (TEXT.to_owned(), Target::File { path: path.with_ending(ENDING) }),
            Target::Metrics { path } => (format!("# {TEXT}\n"), Target::Metrics { path: format!("{path}{ENDING}") }),
            Target::Webhook { .. } => (webhook::compose_test(TEXT, at).to_string(), self.target.clone()),
            Target::Slack { .. } => (slack::compose_test(TEXT).to_string(), self.target.clone()),
            Target::Teams { .. } => (teams::compose_test(TEXT).to_string(), self.target.clone()),
            Target::LogAnalytics { .. } => {
                (log_analytics::compose_test(TEXT, instance, at, &id).to_string(), self.target.clone())
            }
        };
        let instance = self.instances.first().map_or(instance, String::as_str).to_owned();
        let message = Message { id, receiver: self.name.clone(), instance, at, body: Body::new(body.into_bytes()) };
        let result = Self { target, ..self.clone() }.send(&message, sender).await;
        Sent { receiver: message.receiver, id: message.id, result }
    }
}
