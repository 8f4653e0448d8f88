//! `flowgap serve`: the tables over PostgreSQL's protocol, read only.
//!
//! A connection passes the [`listener`], the door of [`connection`], and ends as a [`conversation`]. All share a
//! [`workspace`]. Only [`pg`] knows the engine's plans. Knows no command line.

mod cancel;
mod connection;
mod conversation;
mod error;
mod http;
mod listener;
mod message;
mod metrics;
mod pg;
mod random;
mod scram;
mod settings;
mod socket;
mod tls;
mod users;
mod workspace;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use datafusion_postgres::pgwire::api::auth::sasl::scram::gen_salted_password;
use tokio::select;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep};

use crate::engine::{QueryMemory, Session, SessionError};
use cancel::Cancels;
use connection::Door;
use conversation::Shared;
use metrics::Metrics;
use pg::Rewriter;
use random::random_bytes;
use scram::{ROUNDS, Verifier};
use users::{Users, Verifiers};
use workspace::Workspace;

pub use tls::TlsError;
pub use users::{UsersError, check_name};
pub use workspace::Open;

/// Time for connections to end when the server stops.
const GRACE: Duration = Duration::from_secs(3);

/// Options of a server.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Address to listen at.
    pub listen: SocketAddr,
    /// Users file.
    pub users: Option<PathBuf>,
    /// Files of the certificate chain and its key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Time between lists of the sources.
    pub refresh: Duration,
    /// Maximum number of clients at a time.
    pub max_connections: usize,
    /// Maximum time of a statement.
    pub statement_timeout: Duration,
    /// Address of `/metrics` and `/healthz`.
    pub metrics: Option<SocketAddr>,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Others could reach the address, and clients would need no password or encryption.
    #[error("{0} is not a loopback address, so others can reach it")]
    Open(SocketAddr),
    /// The address is not free, or not ours.
    #[error("cannot listen at {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Cause.
        error: io::Error,
    },
    /// The users file is not usable.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// The certificate is not usable.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The tables cannot be made.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// A server that listens, and serves nothing yet.
pub struct Server {
    listener: tokio::net::TcpListener,
    metrics_listener: Option<tokio::net::TcpListener>,
    acceptor: Option<tokio_rustls::TlsAcceptor>,
    users: Option<Users>,
    options: ServeOptions,
}

impl Server {
    /// Checks the options, reads the users and the certificate, and takes the addresses.
    pub fn new(options: ServeOptions) -> Result<Self, ServeError> {
        if !options.listen.ip().is_loopback() && (options.users.is_none() || options.tls.is_none()) {
            return Err(ServeError::Open(options.listen));
        }
        let users = options.users.as_deref().map(Users::open).transpose()?;
        let tls = options.tls.as_ref();
        let acceptor = tls.map(|(certificate, key)| tls::acceptor(certificate, key)).transpose()?;
        let listen = |address| listener::listen(address).map_err(|error| ServeError::Listen { address, error });
        let metrics_listener = options.metrics.map(listen).transpose()?;
        Ok(Self { listener: listen(options.listen)?, metrics_listener, acceptor, users, options })
    }

    /// Returns the address that it listens at, with the port that the system chose for port 0.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self.options.listen)
    }

    /// Returns the address of `/metrics`.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves `session` and what `open` lists later, until `stop` completes.
    pub async fn run(
        self,
        session: Session,
        open: Open,
        memory: QueryMemory,
        stop: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let Self { listener, metrics_listener, acceptor, users, options } = self;
        let metrics: Arc<Metrics> = Arc::default();
        let workspace = Workspace::open(session, open, options.refresh, memory, Arc::clone(&metrics)).await?;
        let shared =
            Shared { workspace: Arc::clone(&workspace), rewriter: Rewriter::new(), metrics: Arc::clone(&metrics) };
        let (stopping, stops) = watch::channel(false);
        let door = Door {
            shared: Arc::new(shared),
            acceptor,
            users,
            cancels: Arc::new(Cancels::default()),
            seats: Arc::new(Semaphore::new(options.max_connections)),
            statement_timeout: options.statement_timeout,
            stopping: stops,
        };
        let monitoring = async {
            match metrics_listener {
                Some(listener) => http::serve(listener, Arc::clone(&metrics), workspace).await,
                None => std::future::pending().await,
            }
        };
        select! {
            () = stop => {}
            () = listener::accept(listener, Arc::new(door)) => {}
            () = monitoring => {}
        }
        stopping.send_replace(true);
        let until = Instant::now() + GRACE;
        while metrics.known.load(Ordering::Relaxed) > 0 && Instant::now() < until {
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

/// Adds a user to the text of a users file, or replaces the user's password. Returns the new text.
pub fn with_user(path: &Path, name: &str, password: &str) -> Result<String, UsersError> {
    let mut users = match path.exists() {
        true => users::read(path)?,
        false => Verifiers::new(),
    };
    let salt: [u8; 16] = random_bytes();
    let salted = gen_salted_password(password, &salt, ROUNDS as usize);
    users.insert(name.to_owned(), Verifier::new(&salted, salt.to_vec(), ROUNDS));
    Ok(users::written(&users))
}
