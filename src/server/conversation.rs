//! What one client says and gets: the messages of PostgreSQL's protocol after the client is known.
//!
//! Transactions have no effect but on errors: everything here only reads.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use datafusion_postgres::pgwire::messages::PgWireBackendMessage as Reply;
use datafusion_postgres::pgwire::messages::data::{NoData, ParameterDescription};
use datafusion_postgres::pgwire::messages::extendedquery::{
    BindComplete, CloseComplete, ParseComplete, PortalSuspended,
};
use datafusion_postgres::pgwire::messages::response::{
    CommandComplete, EmptyQueryResponse, ReadyForQuery, TransactionStatus,
};
use datafusion_postgres::pgwire::messages::startup::ParameterStatus;

use super::error::{Fault, code};
use super::message::{Message, Target};
use super::metrics::Metrics;
use super::pg::{self, Answer, Columns, Command, Prepared, Rewriter};
use super::settings::Settings;
use super::socket::Socket;
use super::workspace::Workspace;
use crate::engine::{Explorer, ParamValues};

/// Maximum number of statements and of portals of a connection.
const MOST: usize = 1000;
/// Maximum bytes of the texts of all statements, and of the values of all portals.
const MOST_BYTES: usize = 16 << 20;

/// State of one connection.
pub struct Conversation {
    /// The connection.
    pub socket: Socket,
    /// Its settings.
    pub settings: Settings,
    shared: Arc<Shared>,
    statements: HashMap<String, Statement>,
    portals: HashMap<String, Portal>,
    transaction: Transaction,
    /// Values that the end of the transaction restores.
    local: Vec<(String, String)>,
}

/// What all connections use.
pub struct Shared {
    /// The tables.
    pub workspace: Arc<Workspace>,
    /// Rewrites queries for PostgreSQL.
    pub rewriter: Rewriter,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// A prepared statement; `None` for an empty text.
struct Statement {
    prepared: Option<Arc<Prepared>>,
    bytes: usize,
}

struct Portal {
    prepared: Option<Arc<Prepared>>,
    values: ParamValues,
    columns: Option<Columns>,
    /// Answer that is read in parts.
    answer: Option<Answer>,
    is_done: bool,
    bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transaction {
    None,
    Open,
    Failed,
}

/// Answer of a command.
enum Outcome {
    Rows(Box<Answer>),
    Tag(&'static str),
}

impl Conversation {
    /// Returns the state of a new connection.
    pub fn new(socket: Socket, settings: Settings, shared: Arc<Shared>) -> Self {
        let (statements, portals) = (HashMap::new(), HashMap::new());
        Self { socket, settings, shared, statements, portals, transaction: Transaction::None, local: Vec::new() }
    }

    /// Answers a message. The caller may stop waiting at any point and go on with [`Self::fail`].
    pub async fn answer(&mut self, message: Message) -> Result<(), Fault> {
        match message {
            Message::Query(text) => {
                self.portals.remove("");
                self.simple(&text).await?;
                self.ready().await
            }
            Message::Parse { name, text, types } => self.parse(name, &text, &types).await,
            Message::Bind { portal, statement, formats, values, results } => {
                self.bind(portal, &statement, (&formats, &values), &results).await
            }
            Message::Describe(target, name) => self.describe(target, &name).await,
            Message::Execute(portal, most) => self.execute(&portal, most).await,
            Message::Close(target, name) => {
                match target {
                    Target::Statement => _ = self.statements.remove(&name),
                    Target::Portal => _ = self.portals.remove(&name),
                }
                self.send(Reply::CloseComplete(CloseComplete::new())).await
            }
            Message::Flush => Ok(self.socket.flush().await?),
            Message::Sync => {
                // The end of a group ends its portals, unless a transaction goes on.
                if self.transaction == Transaction::None {
                    self.portals.clear();
                }
                self.ready().await
            }
            Message::Other(b'F') => {
                Err(Fault::new(code::FEATURE_NOT_SUPPORTED, "function calls are not supported: write a SELECT"))
            }
            // PostgreSQL, too, ignores COPY messages that come late.
            Message::Other(_) | Message::Terminate => Ok(()),
            Message::Password(_) => Err(Fault::fatal(code::PROTOCOL_VIOLATION, "there is no question for a password")),
        }
    }

    /// Reports an error, and frees what its statement held. A simple query is then over.
    pub async fn fail(&mut self, fault: Fault, is_simple: bool) -> Result<(), Fault> {
        self.portals.clear();
        if self.transaction == Transaction::Open {
            self.transaction = Transaction::Failed;
        }
        let Fault::Said(info) = fault else { return Err(fault) };
        let is_fatal = info.is_fatal();
        self.send(Reply::ErrorResponse((*info).into())).await?;
        if is_fatal {
            return Ok(self.socket.flush().await?);
        }
        if is_simple { self.ready().await } else { Ok(self.socket.flush().await?) }
    }

    async fn send(&mut self, reply: Reply) -> Result<(), Fault> {
        Ok(self.socket.feed(reply).await?)
    }

    async fn ready(&mut self) -> Result<(), Fault> {
        let status = match self.transaction {
            Transaction::None => TransactionStatus::Idle,
            Transaction::Open => TransactionStatus::Transaction,
            Transaction::Failed => TransactionStatus::Error,
        };
        self.send(Reply::ReadyForQuery(ReadyForQuery::new(status))).await?;
        Ok(self.socket.flush().await?)
    }

    /// Sends names and values of settings.
    pub async fn report(&mut self, changes: Vec<(&'static str, String)>) -> Result<(), Fault> {
        for (name, value) in changes {
            self.send(Reply::ParameterStatus(ParameterStatus::new(name.to_owned(), value))).await?;
        }
        Ok(())
    }

    /// Returns a session of the engine over the newest list, with this connection's settings.
    fn explorer(&self) -> Result<Explorer, Fault> {
        let mut explorer = self.shared.workspace.explorer().fork();
        explorer.set_time_zone(self.settings.time_zone());
        let added = pg::add_settings(&mut explorer, &self.settings);
        added.map_err(|error| Fault::new(code::INTERNAL, error.to_string()))?;
        Ok(explorer)
    }

    async fn simple(&mut self, text: &str) -> Result<(), Fault> {
        let shared = Arc::clone(&self.shared);
        let commands = pg::commands(&shared.workspace.explorer(), &shared.rewriter, text)?;
        if commands.is_empty() {
            return self.send(Reply::EmptyQueryResponse(EmptyQueryResponse::new())).await;
        }
        for command in commands {
            match self.perform(&command, ParamValues::new(), None).await? {
                Outcome::Tag(tag) => self.complete(tag.to_owned()).await?,
                Outcome::Rows(mut answer) => {
                    self.send(Reply::RowDescription(pg::described(&answer.columns))).await?;
                    let (rows, _) = self.stream(&mut answer, 0).await?;
                    self.complete(tag(&answer, rows)).await?;
                }
            }
        }
        Ok(())
    }

    async fn complete(&mut self, tag: String) -> Result<(), Fault> {
        self.send(Reply::CommandComplete(CommandComplete::new(tag))).await
    }

    /// Sends rows, at most `most` unless that is 0. Returns how many, and whether the answer is over.
    async fn stream(&mut self, answer: &mut Answer, most: u32) -> Result<(u64, bool), Fault> {
        let mut rows = 0;
        while most == 0 || rows < u64::from(most) {
            let Some(row) = answer.next().await else { return Ok((rows, true)) };
            self.send(Reply::DataRow(row?)).await?;
            rows += 1;
            self.shared.metrics.rows.fetch_add(1, Ordering::Relaxed);
        }
        Ok((rows, false))
    }

    async fn perform(
        &mut self,
        command: &Command,
        values: ParamValues,
        columns: Option<Columns>,
    ) -> Result<Outcome, Fault> {
        let is_end = matches!(command, Command::Commit | Command::Rollback | Command::RollbackTo);
        if self.transaction == Transaction::Failed && !is_end {
            let message = "current transaction is aborted, commands ignored until end of transaction block";
            return Err(Fault::new(code::FAILED_TRANSACTION, message));
        }
        Ok(match command {
            Command::Query(query) => {
                let (explorer, zone) = (self.explorer()?, self.settings.time_zone().to_owned());
                let answer = pg::run(&explorer, &self.shared.rewriter, query, values, columns, &zone).await?;
                Outcome::Rows(Box::new(answer))
            }
            Command::Show(Some(name)) => {
                let value = self.settings.show(name)?;
                Outcome::Rows(Box::new(Answer::of_texts(&[&name.replace('.', " ")], &[vec![value]], "SHOW")?))
            }
            Command::Show(None) => {
                let rows: Vec<Vec<String>> =
                    self.settings.all().map(|(name, value)| vec![name.to_owned(), value.to_owned()]).collect();
                Outcome::Rows(Box::new(Answer::of_texts(&["name", "setting"], &rows, "SHOW")?))
            }
            Command::Set { name, value, is_local } => {
                self.set(name, value.as_deref(), *is_local).await?;
                Outcome::Tag("SET")
            }
            Command::Reset(name) => {
                let changes = self.settings.reset(name.as_deref())?;
                self.report(changes).await?;
                Outcome::Tag("RESET")
            }
            Command::Begin(tag) => {
                self.transaction = Transaction::Open;
                Outcome::Tag(tag)
            }
            Command::Commit => {
                let is_failed = self.transaction == Transaction::Failed;
                self.end().await?;
                Outcome::Tag(if is_failed { "ROLLBACK" } else { "COMMIT" })
            }
            Command::Rollback => {
                self.end().await?;
                Outcome::Tag("ROLLBACK")
            }
            Command::RollbackTo => {
                if self.transaction == Transaction::Failed {
                    self.transaction = Transaction::Open;
                }
                Outcome::Tag("ROLLBACK")
            }
            Command::DiscardAll => {
                self.statements.clear();
                self.portals.clear();
                let changes = self.settings.reset(None)?;
                self.report(changes).await?;
                Outcome::Tag("DISCARD ALL")
            }
            Command::Deallocate(name) => {
                match name {
                    None => self.statements.clear(),
                    Some(name) if self.statements.remove(name).is_some() => {}
                    Some(name) => return Err(unknown_statement(name)),
                }
                Outcome::Tag(if name.is_none() { "DEALLOCATE ALL" } else { "DEALLOCATE" })
            }
            Command::Close(name) => {
                match name {
                    None => self.portals.clear(),
                    Some(name) if self.portals.remove(name).is_some() => {}
                    Some(name) => return Err(unknown_portal(name)),
                }
                Outcome::Tag("CLOSE CURSOR")
            }
            Command::Nothing(tag) => Outcome::Tag(tag),
        })
    }

    async fn set(&mut self, name: &str, value: Option<&str>, is_local: bool) -> Result<(), Fault> {
        if is_local {
            if self.transaction == Transaction::None {
                return Ok(());
            }
            if let Ok(before) = self.settings.show(name) {
                self.local.push((name.to_owned(), before));
            }
        }
        let changes = match value {
            Some(value) => self.settings.set(name, value)?.into_iter().collect(),
            None => self.settings.reset(Some(name))?,
        };
        self.report(changes).await
    }

    /// Ends a transaction.
    async fn end(&mut self) -> Result<(), Fault> {
        self.transaction = Transaction::None;
        self.portals.clear();
        let mut changes = Vec::new();
        for (name, value) in std::mem::take(&mut self.local).into_iter().rev() {
            changes.extend(self.settings.set(&name, &value)?);
        }
        self.report(changes).await
    }

    async fn parse(&mut self, name: String, text: &str, types: &[u32]) -> Result<(), Fault> {
        if !name.is_empty() && self.statements.contains_key(&name) {
            return Err(Fault::new(code::DUPLICATE_STATEMENT, format!("prepared statement \"{name}\" already exists")));
        }
        self.statements.remove(&name);
        let held: usize = self.statements.values().map(|statement| statement.bytes).sum();
        let bytes = name.len() + text.len();
        if self.statements.len() >= MOST || held + bytes > MOST_BYTES {
            return Err(Fault::new(code::LIMIT_EXCEEDED, "there are too many prepared statements"));
        }
        let prepared = pg::prepare(&self.explorer()?, &self.shared.rewriter, text, types).await?;
        self.statements.insert(name, Statement { prepared: prepared.map(Arc::new), bytes });
        self.send(Reply::ParseComplete(ParseComplete::new())).await
    }

    async fn bind(
        &mut self,
        name: String,
        statement: &str,
        (formats, given): (&[i16], &[Option<Bytes>]),
        results: &[i16],
    ) -> Result<(), Fault> {
        let prepared = self.statement(statement)?.clone();
        self.portals.remove(&name);
        let held: usize = self.portals.values().map(|portal| portal.bytes).sum();
        let bytes = name.len() + given.iter().flatten().map(Bytes::len).sum::<usize>();
        if self.portals.len() >= MOST || held + bytes > MOST_BYTES {
            return Err(Fault::new(code::LIMIT_EXCEEDED, "there are too many portals"));
        }
        let (values, columns) = match &prepared {
            None => (ParamValues::new(), None),
            Some(prepared) => {
                let columns = prepared.schema.as_ref().map(|schema| pg::columns(schema, results)).transpose()?;
                (pg::bound(prepared, formats, given)?, columns)
            }
        };
        let portal = Portal { prepared, values, columns, answer: None, is_done: false, bytes };
        self.portals.insert(name, portal);
        self.send(Reply::BindComplete(BindComplete::new())).await
    }

    fn statement(&self, name: &str) -> Result<&Option<Arc<Prepared>>, Fault> {
        self.statements.get(name).map(|statement| &statement.prepared).ok_or_else(|| unknown_statement(name))
    }

    async fn describe(&mut self, target: Target, name: &str) -> Result<(), Fault> {
        let (prepared, columns) = match target {
            Target::Statement => (self.statement(name)?.clone(), None),
            Target::Portal => {
                let portal = self.portals.get(name).ok_or_else(|| unknown_portal(name))?;
                (portal.prepared.clone(), portal.columns.clone())
            }
        };
        if target == Target::Statement {
            let types = prepared.iter().flat_map(|prepared| &prepared.params).map(|param| param.sent.oid()).collect();
            self.send(Reply::ParameterDescription(ParameterDescription::new(types))).await?;
        }
        let columns = match (columns, prepared.as_deref()) {
            (Some(columns), _) => Some(columns),
            (None, Some(Prepared { schema: Some(schema), .. })) => Some(pg::columns(schema, &[])?),
            // What SHOW answers depends on the connection alone.
            (None, Some(Prepared { command: command @ Command::Show(_), .. })) => {
                match self.perform(command, ParamValues::new(), None).await? {
                    Outcome::Rows(answer) => Some(answer.columns),
                    Outcome::Tag(_) => None,
                }
            }
            _ => None,
        };
        match columns {
            Some(columns) => self.send(Reply::RowDescription(pg::described(&columns))).await,
            None => self.send(Reply::NoData(NoData::new())).await,
        }
    }

    async fn execute(&mut self, name: &str, most: u32) -> Result<(), Fault> {
        let portal = self.portals.get_mut(name).ok_or_else(|| unknown_portal(name))?;
        let Some(prepared) = portal.prepared.clone() else {
            return self.send(Reply::EmptyQueryResponse(EmptyQueryResponse::new())).await;
        };
        let mut answer = match portal.answer.take() {
            Some(answer) => answer,
            None if portal.is_done => return self.complete("SELECT 0".to_owned()).await,
            None => {
                let (values, columns) = (portal.values.clone(), portal.columns.clone());
                match self.perform(&prepared.command, values, columns).await? {
                    Outcome::Rows(answer) => *answer,
                    Outcome::Tag(tag) => return self.complete(tag.to_owned()).await,
                }
            }
        };
        let (rows, is_over) = self.stream(&mut answer, most).await?;
        let tag = tag(&answer, rows);
        if let Some(portal) = self.portals.get_mut(name) {
            portal.is_done = is_over;
            portal.answer = (!is_over).then_some(answer);
        }
        if is_over { self.complete(tag).await } else { self.send(Reply::PortalSuspended(PortalSuspended::new())).await }
    }
}

fn tag(answer: &Answer, rows: u64) -> String {
    if answer.counts { format!("{} {rows}", answer.tag) } else { answer.tag.to_owned() }
}

fn unknown_statement(name: &str) -> Fault {
    Fault::new(code::UNKNOWN_STATEMENT, format!("prepared statement \"{name}\" does not exist"))
}

fn unknown_portal(name: &str) -> Fault {
    Fault::new(code::UNKNOWN_PORTAL, format!("portal \"{name}\" does not exist"))
}
