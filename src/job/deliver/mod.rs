//! Delivers what a run came to: one message per receiver and run, stored in an outbox before it is sent. In reading
//! order: the outcome of a run, the message about it, one file per kind of receiver, the outbox.
//!
//! Messages hold no secret; addresses and keys come from the configuration when a message is sent.

mod digest;
mod error;
mod file;
mod log_analytics;
mod message;
mod metrics;
mod outbox;
mod outcome;
mod post;
mod slack;
mod teams;
mod trial;
mod webhook;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

pub use error::{DeliveryError, Receipt};
pub use message::{Body, Message};
pub use outbox::Entries;
pub use outcome::{Outcome, Stage};
pub use post::Limits;

use self::outbox::{Gone, Waiting};
use self::post::Poster;
use super::config::receiver::{Receiver, Target};
use crate::answer::Leftovers;
use crate::source::{Access, Stores};
use crate::time::{DAY, Timestamp};

/// Messages of one receiver that wait at most; the oldest are dropped.
const MOST_WAITING: usize = 48;

/// Everything that sending needs besides the receivers.
pub struct Sender {
    poster: Poster,
    /// Requests to Azure: reports in blobs, and tokens.
    access: Access,
    stores: Stores,
    leftovers: Leftovers,
}

impl Sender {
    /// Creates the clients. `access` is for Azure. Fails if the system's certificates cannot be used.
    pub fn new(limits: Limits, access: Access, leftovers: Leftovers) -> Result<Self, reqwest::Error> {
        Ok(Self { poster: Poster::new(limits)?, stores: Stores::new(access.clone()), access, leftovers })
    }
}

impl Receiver {
    /// Returns the message about an outcome; `None` if there is nothing that this kind could say. Fails if a report
    /// cannot be written.
    pub fn compose(&self, outcome: &Outcome) -> io::Result<Option<Message>> {
        let id = message::id(&self.name, outcome);
        let link = self.link.as_ref().map(|link| digest::filled(link, outcome.instance, outcome.at));
        let link = link.as_deref();
        let json = |value: serde_json::Value| Some(value.to_string().into_bytes());
        let body = match &self.target {
            Target::File { path } => file::compose(path, outcome).transpose()?,
            Target::Webhook { .. } => json(webhook::compose(outcome, link)),
            Target::Slack { .. } => json(slack::compose(outcome, link)),
            Target::Teams { .. } => json(teams::compose(outcome, link)),
            Target::Metrics { .. } => Some(metrics::compose(outcome).into_bytes()),
            Target::LogAnalytics { .. } => log_analytics::compose(outcome, &id).and_then(json),
        };
        let (receiver, instance) = (self.name.clone(), outcome.instance.to_owned());
        Ok(body.map(|body| Message { id, receiver, instance, at: outcome.at, body: Body::new(body) }))
    }

    /// Sends a message.
    pub async fn send(&self, message: &Message, sender: &Sender) -> Result<Receipt, DeliveryError> {
        let Sender { poster, access, stores, leftovers } = sender;
        let body = message.body.bytes();
        let body =
            body.map_err(|_| DeliveryError::Refused("the body of the message is damaged".to_owned()))?.into_owned();
        match &self.target {
            Target::File { path } => file::send(path, message, body, stores, &access.environment, leftovers).await,
            Target::Webhook { url, secrets } => webhook::send(url, secrets, message, Bytes::from(body), poster).await,
            Target::Slack { url } => slack::send(url, Bytes::from(body), poster).await,
            Target::Teams { url } => teams::send(url, Bytes::from(body), poster).await,
            Target::Metrics { path } => metrics::send(path, message, body, leftovers).await,
            Target::LogAnalytics { endpoint, dcr, stream, auth } => {
                let access = Access { auth: *auth, ..access.clone() };
                let token = log_analytics::token(endpoint, &access).await?;
                log_analytics::send(log_analytics::Stream { endpoint, dcr, stream }, &token, &body, poster).await
            }
        }
    }

    /// Returns a hash of the receiver and its address. A receiver with a new address has another one.
    fn address_hash(&self) -> String {
        let address = match &self.target {
            Target::File { path } => path.expose().to_owned(),
            Target::Webhook { url, .. } | Target::Slack { url } | Target::Teams { url } => url.expose().to_string(),
            Target::Metrics { path } => path.clone(),
            Target::LogAnalytics { endpoint, dcr, stream, .. } => format!("{endpoint} {dcr} {stream}"),
        };
        message::hash([&self.name, &address])
    }
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Name of the receiver.
    pub receiver: String,
    /// Id of the message.
    pub id: String,
    /// Where it arrived, or why it did not. Transient ones are still in the outbox.
    pub result: Result<Receipt, DeliveryError>,
}

/// Messages that a run stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queued {
    /// Ids of everything to send, which the state of the instance names from now on.
    pub ids: Vec<String>,
    /// Messages that could not be made.
    pub failed: Vec<Sent>,
}

/// The receivers of a job, with the outbox of their messages. A run stores its messages, saves the state that names
/// them, and then sends them. A message that no state names is never sent.
pub struct Delivery {
    receivers: Vec<Receiver>,
    entries: Arc<dyn Entries>,
    sender: Sender,
}

impl Delivery {
    /// Creates the delivery to these receivers.
    pub fn new(receivers: Vec<Receiver>, entries: Arc<dyn Entries>, sender: Sender) -> Self {
        Self { receivers, entries, sender }
    }

    /// Stores a message for every receiver that wants one, and sends nothing. `before` are the ids that the state named
    /// so far; those that still wait stay among the ids. Fails if the outbox cannot be read or written.
    pub async fn queue(&self, outcome: &Outcome<'_>, before: &[String]) -> io::Result<Queued> {
        let waiting = outbox::waiting(&*self.entries, outcome.instance).await?;
        let ids = waiting.into_iter().filter_map(|waiting| Some(waiting.message?.id)).filter(|id| before.contains(id));
        let mut queued = Queued { ids: ids.collect(), failed: Vec::new() };
        for receiver in self.receivers.iter().filter(|receiver| receiver.wants(outcome)) {
            match receiver.compose(outcome) {
                Ok(Some(message)) => {
                    outbox::keep(&*self.entries, &message).await?;
                    queued.ids.retain(|id| *id != message.id);
                    queued.ids.push(message.id);
                }
                Ok(None) => {}
                Err(error) => {
                    let result = Err(DeliveryError::Refused(format!("the report cannot be made: {error}")));
                    let id = message::id(&receiver.name, outcome);
                    queued.failed.push(Sent { receiver: receiver.name.clone(), id, result });
                }
            }
        }
        Ok(queued)
    }

    /// Sends the messages about an instance that its state names: to the receivers at the same time, to each in the
    /// order of the runs. Removes what no state has named for a day. Fails if the outbox cannot be read or written.
    pub async fn send(&self, instance: &str, named: &[String], now: Timestamp) -> io::Result<Vec<Sent>> {
        let mut sent = Vec::new();
        let mut by_receiver = BTreeMap::<String, Vec<(String, Message)>>::new();
        for Waiting { name, message } in outbox::waiting(&*self.entries, instance).await? {
            match message {
                Some(message) if named.contains(&message.id) => {
                    by_receiver.entry(message.receiver.clone()).or_default().push((name, message));
                }
                // Another run may be about to name it.
                Some(message) if now.0.saturating_sub(message.at.0) < DAY => {}
                Some(_) => self.entries.delete(&name).await?,
                None => {
                    self.entries.delete(&name).await?;
                    let why = format!("the entry {name} of the outbox is damaged and was removed");
                    let result = Err(DeliveryError::Refused(why));
                    sent.push(Sent { receiver: String::new(), id: name, result });
                }
            }
        }
        let lanes = by_receiver.into_iter().map(|(name, messages)| self.lane(name, messages));
        for lane in futures::future::join_all(lanes).await {
            sent.extend(lane?);
        }
        Ok(sent)
    }

    /// Sends the messages of one receiver, the oldest first. After one that has to wait, the others wait too.
    async fn lane(&self, name: String, messages: Vec<(String, Message)>) -> io::Result<Vec<Sent>> {
        let Self { receivers, entries, sender } = self;
        let receiver = receivers.iter().find(|receiver| receiver.name == name);
        let mut stop = match receiver {
            None => Some(DeliveryError::Refused("the configuration has no receiver of this name any more".to_owned())),
            Some(receiver) => outbox::gone(&**entries, &receiver.address_hash()).await?.map(|gone| {
                let since = gone.since.minute();
                DeliveryError::Gone(format!(
                    "it answered 410 on {since}, so it gets no messages until its address changes"
                ))
            }),
        };
        let surplus = messages.len().saturating_sub(MOST_WAITING);
        let mut sent = Vec::new();
        for (at, (name, message)) in messages.into_iter().enumerate() {
            let result = match (&stop, receiver) {
                (Some(DeliveryError::Gone(why)), _) => Err(DeliveryError::Gone(why.clone())),
                (Some(DeliveryError::Refused(why)), _) => Err(DeliveryError::Refused(why.clone())),
                _ if at < surplus => {
                    Err(DeliveryError::Refused(format!("more than {MOST_WAITING} messages wait: it was dropped")))
                }
                (Some(DeliveryError::Transient(_)), _) => {
                    Err(DeliveryError::Transient("it waits for an earlier message to the same receiver".to_owned()))
                }
                (None, Some(receiver)) => receiver.send(&message, sender).await,
                (None, None) => continue,
            };
            if let (Err(DeliveryError::Gone(_)), None, Some(receiver)) = (&result, &stop, receiver) {
                let gone = Gone { receiver: message.receiver.clone(), since: message.at };
                outbox::mark_gone(&**entries, &receiver.address_hash(), &gone).await?;
            }
            match &result {
                Err(error @ DeliveryError::Transient(_)) => stop = Some(error.clone()),
                Err(error @ DeliveryError::Gone(_)) => {
                    stop = Some(error.clone());
                    entries.delete(&name).await?;
                }
                _ => entries.delete(&name).await?,
            }
            sent.push(Sent { receiver: message.receiver, id: message.id, result });
        }
        Ok(sent)
    }
}
