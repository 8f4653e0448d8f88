//! The life of a connection: encryption, who the client is, and messages until it ends.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Buf;
use datafusion_postgres::pgwire::messages::PgWireBackendMessage as Reply;
use datafusion_postgres::pgwire::messages::startup::{
    Authentication, BackendKeyData, NegotiateProtocolVersion, SecretKey,
};
use tokio::net::TcpStream;
use tokio::select;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::cancel::{Cancels, Ticket};
use super::conversation::{Conversation, Shared};
use super::error::{Fault, code};
use super::message::{First, Message};
use super::metrics::{Ended, Held};
use super::random::random_bytes;
use super::scram::{Exchange, MECHANISM, ScramError};
use super::settings::Settings;
use super::socket::{Socket, SocketError};
use super::users::Users;

/// Version 3.0 of the protocol.
const VERSION: i32 = 3 << 16;
/// Time from the first byte to the right password.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// Time that a wrong password costs its client.
const PENALTY: Duration = Duration::from_millis(500);
/// Time to send an error to a client that may take nothing.
const FAREWELL: Duration = Duration::from_secs(5);

/// What connections need to begin.
pub struct Door {
    /// What conversations use.
    pub shared: Arc<Shared>,
    /// Certificate and key, if connections are encrypted.
    pub acceptor: Option<TlsAcceptor>,
    /// Users, if clients need a password.
    pub users: Option<Users>,
    /// Connections to cancel.
    pub cancels: Arc<Cancels>,
    /// A permit per client that is known.
    pub seats: Arc<Semaphore>,
    /// Maximum time of a statement.
    pub statement_timeout: Duration,
    /// True once the server stops.
    pub stopping: watch::Receiver<bool>,
}

/// How a connection ended before its client was known.
enum Turned {
    /// There is nothing to say.
    Away,
    /// Something to tell the client.
    Said(Fault),
}

impl From<SocketError> for Turned {
    fn from(error: SocketError) -> Self {
        match error {
            SocketError::Io(_) => Self::Away,
            SocketError::Invalid(why) => Self::Said(Fault::fatal(code::PROTOCOL_VIOLATION, why.to_string())),
        }
    }
}

impl From<Fault> for Turned {
    fn from(fault: Fault) -> Self {
        Self::Said(fault)
    }
}

impl Door {
    /// Serves a connection to its end. Calls `known` once the client is known.
    pub async fn serve(&self, stream: TcpStream, known: impl FnOnce()) {
        let metrics = &self.shared.metrics;
        let Ok(mut socket) = Socket::new(stream) else { return };
        let entered = timeout(HANDSHAKE, self.enter(&mut socket)).await;
        let (settings, ticket) = match entered {
            Ok(Ok(entered)) => entered,
            refused => {
                metrics.rejected.fetch_add(1, Ordering::Relaxed);
                let fault = match refused {
                    Ok(Err(Turned::Said(fault))) => fault,
                    Err(_) => Fault::fatal(code::INVALID_AUTHORIZATION, "the client took too long to begin"),
                    Ok(_) => return,
                };
                return farewell(&mut socket, fault).await;
            }
        };
        known();
        let Ok(_seat) = self.seats.try_acquire() else {
            metrics.rejected.fetch_add(1, Ordering::Relaxed);
            let fault = Fault::fatal(code::TOO_MANY_CONNECTIONS, "sorry, too many clients already");
            return farewell(&mut socket, fault).await;
        };
        let _known = Held::one(&metrics.known);
        let mut conversation = Conversation::new(socket, settings, Arc::clone(&self.shared));
        // Every way out leads past the count below.
        _ = self.converse(&mut conversation, &ticket).await;
        metrics.bytes.fetch_add(conversation.socket.take_sent(), Ordering::Relaxed);
    }

    /// Learns who the client is.
    async fn enter(&self, socket: &mut Socket) -> Result<(Settings, Ticket), Turned> {
        let (minor, parameters) = match socket.first(self.acceptor.as_ref()).await? {
            Some(First::Start { minor, parameters }) => (minor, parameters),
            Some(First::Cancel(number, secret)) => {
                self.cancels.ask(number, secret);
                return Err(Turned::Away);
            }
            _ => return Err(Turned::Away),
        };
        if self.acceptor.is_some() && !socket.is_encrypted() {
            let fault = Fault::fatal(code::INVALID_AUTHORIZATION, "the server takes encrypted connections only");
            return Err(fault.hint("connect with sslmode=require, or better verify-full").into());
        }
        // Extensions of later versions begin with `_pq_.`.
        let (extensions, parameters): (Vec<_>, Vec<_>) =
            parameters.into_iter().partition(|(name, _)| name.starts_with("_pq_."));
        if minor > 0 || !extensions.is_empty() {
            let unknown = extensions.into_iter().map(|(name, _)| name).collect();
            say(socket, Reply::NegotiateProtocolVersion(NegotiateProtocolVersion::new(VERSION, unknown))).await?;
        }
        let user = parameters.iter().find(|(name, _)| name == "user").map(|(_, user)| user.clone());
        let Some(user) = user.filter(|user| !user.is_empty()) else {
            return Err(Fault::fatal(code::INVALID_AUTHORIZATION, "the client names no user").into());
        };
        let settings = settings(&user, &parameters, self.statement_timeout).map_err(fatal)?;
        if let Some(users) = &self.users {
            self.authenticate(socket, users, &user).await?;
        }
        say(socket, Reply::Authentication(Authentication::Ok)).await?;
        let ticket = self.cancels.add();
        Ok((settings, ticket))
    }

    /// Asks for the password by SCRAM.
    async fn authenticate(&self, socket: &mut Socket, users: &Users, user: &str) -> Result<(), Turned> {
        let malformed = |error: ScramError| Fault::fatal(code::PROTOCOL_VIOLATION, error.to_string());
        say(socket, Reply::Authentication(Authentication::SASL(vec![MECHANISM.to_owned()]))).await?;
        let first = password(socket).await?;
        let client = initial(first).ok_or(malformed(ScramError("malformed SASL message")))?;
        let own: [u8; 18] = random_bytes();
        let own: String = own.iter().map(|byte| format!("{byte:02x}")).collect();
        let exchange = Exchange::begin(&client, &own, users.verifier(user)).map_err(malformed)?;
        let first = exchange.first().to_owned().into();
        say(socket, Reply::Authentication(Authentication::SASLContinue(first))).await?;
        let last = password(socket).await?;
        let last = std::str::from_utf8(&last).map_err(|_| malformed(ScramError("malformed SASL message")))?;
        let Some(answer) = exchange.finish(last).map_err(malformed)? else {
            self.shared.metrics.wrong_passwords.fetch_add(1, Ordering::Relaxed);
            sleep(PENALTY).await;
            let message = format!("password authentication failed for user \"{user}\"");
            return Err(Fault::fatal(code::INVALID_PASSWORD, message).into());
        };
        say(socket, Reply::Authentication(Authentication::SASLFinal(answer.into()))).await?;
        Ok(())
    }

    /// Answers messages until the client or the server ends the session.
    async fn converse(&self, conversation: &mut Conversation, ticket: &Ticket) -> Result<(), Fault> {
        let reports: Vec<_> = conversation.settings.reports().collect();
        conversation.report(reports).await?;
        let key = BackendKeyData::new(ticket.number, SecretKey::I32(ticket.secret));
        conversation.socket.feed(Reply::BackendKeyData(key)).await?;
        conversation.answer(Message::Sync).await?;
        let mut stopping = self.stopping.clone();
        let mut skips = false;
        loop {
            let message = select! {
                biased;
                () = stopped(&mut stopping) => {
                    let message = "terminating connection because the server stops";
                    farewell(&mut conversation.socket, Fault::fatal(code::SHUTDOWN, message)).await;
                    return Ok(());
                }
                message = conversation.socket.next(true) => message,
            };
            let message = match message {
                Ok(Some(Message::Terminate) | None) | Err(SocketError::Io(_)) => return Ok(()),
                Ok(Some(message)) => message,
                Err(SocketError::Invalid(why)) => {
                    let fault = Fault::fatal(code::PROTOCOL_VIOLATION, why.to_string());
                    farewell(&mut conversation.socket, fault).await;
                    return Ok(());
                }
            };
            if skips && message != Message::Sync {
                continue;
            }
            skips = false;
            let is_simple = !message.is_extended();
            let is_work = matches!(message, Message::Query(_) | Message::Execute(..));
            let begun = Instant::now();
            let (result, ended) = self.bounded(conversation, message, ticket, &mut stopping).await;
            if is_work {
                self.shared.metrics.count(ended, begun.elapsed());
            }
            let sent = conversation.socket.take_sent();
            self.shared.metrics.bytes.fetch_add(sent, Ordering::Relaxed);
            if ended == Ended::Abandoned {
                return Ok(());
            }
            if let Err(fault) = result {
                let is_over = matches!(&fault, Fault::Said(info) if info.is_fatal());
                let said = timeout(FAREWELL, conversation.fail(fault, is_simple)).await;
                if is_over || !matches!(said, Ok(Ok(()))) {
                    return Ok(());
                }
                skips = !is_simple;
            }
        }
    }

    /// Answers a message, unless it is cancelled, takes too long, or its client goes away.
    async fn bounded(
        &self,
        conversation: &mut Conversation,
        message: Message,
        ticket: &Ticket,
        stopping: &mut watch::Receiver<bool>,
    ) -> (Result<(), Fault>, Ended) {
        let (limit, stream) = (conversation.settings.timeout(), conversation.socket.shared());
        let cancelled = |message: &str| Err(Fault::new(code::CANCELED, message));
        select! {
            biased;
            () = ticket.asked.notified() => {
                (cancelled("canceling statement due to user request"), Ended::Cancelled)
            }
            () = stopped(stopping) => {
                let message = "terminating connection because the server stops";
                (Err(Fault::fatal(code::SHUTDOWN, message)), Ended::Cancelled)
            }
            () = sleep(limit) => (cancelled("canceling statement due to statement timeout"), Ended::TimedOut),
            () = stream.gone() => (Ok(()), Ended::Abandoned),
            result = conversation.answer(message) => {
                let ended = match &result {
                    Ok(()) => Ended::Answered,
                    Err(Fault::Gone) => Ended::Abandoned,
                    Err(_) => Ended::Failed,
                };
                (result, ended)
            }
        }
    }
}

/// Completes once the server stops.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    if stopping.wait_for(|stops| *stops).await.is_err() {
        pending().await
    }
}

async fn say(socket: &mut Socket, reply: Reply) -> Result<(), Turned> {
    socket.feed(reply).await.map_err(|_| Turned::Away)?;
    socket.flush().await.map_err(|_| Turned::Away)
}

/// Sends a last error. A client that does not take it is left alone.
async fn farewell(socket: &mut Socket, fault: Fault) {
    let Fault::Said(info) = fault else { return };
    if socket.feed_now(&Reply::ErrorResponse((*info).into())).is_ok() {
        _ = timeout(FAREWELL, socket.flush()).await;
    }
}

async fn password(socket: &mut Socket) -> Result<bytes::Bytes, Turned> {
    match socket.next(false).await? {
        Some(Message::Password(bytes)) => Ok(bytes),
        None | Some(Message::Terminate) => Err(Turned::Away),
        Some(_) => Err(Fault::fatal(code::PROTOCOL_VIOLATION, "expected a password").into()),
    }
}

/// Returns the client's first message of SCRAM, if it chose that.
fn initial(mut bytes: bytes::Bytes) -> Option<String> {
    let end = memchr::memchr(0, &bytes)?;
    if bytes.split_to(end) != MECHANISM.as_bytes() {
        return None;
    }
    bytes.advance(1);
    let length = usize::try_from(bytes.try_get_i32().ok()?).ok()?;
    (length == bytes.len()).then(|| String::from_utf8(bytes.to_vec()).ok())?
}

/// Returns the settings that the client begins with.
fn settings(user: &str, parameters: &[(String, String)], most: Duration) -> Result<Settings, Fault> {
    let mut settings = Settings::new(user, most);
    for (name, value) in parameters {
        match name.as_str() {
            "user" | "database" => {}
            "replication" => return Err(Fault::new(code::FEATURE_NOT_SUPPORTED, "there is no replication")),
            "options" => {
                for (name, value) in options(value) {
                    settings.set(&name, &value)?;
                }
            }
            name => _ = settings.set(name, value)?,
        }
    }
    settings.begin();
    Ok(settings)
}

/// Returns the settings in options such as `-c name=value`.
fn options(text: &str) -> Vec<(String, String)> {
    let words = text.replace("\\ ", "\u{0}");
    let words = words.split_whitespace().filter_map(|word| match word {
        "-c" => None,
        word => Some(word.strip_prefix("-c").or(word.strip_prefix("--")).unwrap_or(word)),
    });
    words
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| (name.replace('-', "_"), value.replace('\u{0}', " ")))
        .collect()
}

fn fatal(fault: Fault) -> Fault {
    match fault {
        Fault::Said(mut info) => {
            info.severity = "FATAL".to_owned();
            Fault::Said(info)
        }
        fault => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_split() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let text = "-c geqo=off -cstatement_timeout=5min --search-path=a\\ b";
        let expected = vec![pair("geqo", "off"), pair("statement_timeout", "5min"), pair("search_path", "a b")];
        assert_eq!(options(text), expected);
    }
}
