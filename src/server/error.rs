//! Errors as clients of PostgreSQL expect them: severity, SQLSTATE, message, hint and position.

use std::io;

use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError};

/// SQLSTATE codes, by the names of PostgreSQL's manual.
pub mod code {
    /// Messages that break the protocol.
    pub const PROTOCOL_VIOLATION: &str = "08P01";
    /// What the server lacks.
    pub const FEATURE_NOT_SUPPORTED: &str = "0A000";
    /// A value that its type does not allow.
    pub const INVALID_VALUE: &str = "22023";
    /// A value of a parameter that is not of its type.
    pub const INVALID_TEXT: &str = "22P02";
    /// Bytes that are not of their type.
    pub const INVALID_BINARY: &str = "22P03";
    /// A failure while values were computed.
    pub const DATA_EXCEPTION: &str = "22000";
    /// Division by zero.
    pub const DIVISION_BY_ZERO: &str = "22012";
    /// Anything but reading.
    pub const READ_ONLY: &str = "25006";
    /// A statement after an error in the same transaction.
    pub const FAILED_TRANSACTION: &str = "25P02";
    /// A statement that is not there.
    pub const UNKNOWN_STATEMENT: &str = "26000";
    /// A client that may not enter as it tries to.
    pub const INVALID_AUTHORIZATION: &str = "28000";
    /// A wrong password.
    pub const INVALID_PASSWORD: &str = "28P01";
    /// A portal that is not there.
    pub const UNKNOWN_PORTAL: &str = "34000";
    /// A statement that cannot be planned.
    pub const SYNTAX_OR_ACCESS: &str = "42000";
    /// Text that is no SQL.
    pub const SYNTAX: &str = "42601";
    /// A column that is not there.
    pub const UNKNOWN_COLUMN: &str = "42703";
    /// A setting that is not there.
    pub const UNKNOWN_OBJECT: &str = "42704";
    /// A name that is taken.
    pub const DUPLICATE_STATEMENT: &str = "42P05";
    /// A column outside of GROUP BY.
    pub const GROUPING: &str = "42803";
    /// A function that is not there.
    pub const UNKNOWN_FUNCTION: &str = "42883";
    /// A table that is not there.
    pub const UNKNOWN_TABLE: &str = "42P01";
    /// A parameter that is not there.
    pub const UNKNOWN_PARAMETER: &str = "42P02";
    /// A query that needs too much memory.
    pub const OUT_OF_MEMORY: &str = "53200";
    /// A server with too many clients.
    pub const TOO_MANY_CONNECTIONS: &str = "53300";
    /// A client with too many statements.
    pub const LIMIT_EXCEEDED: &str = "53400";
    /// A query that was cancelled, or ran too long.
    pub const CANCELED: &str = "57014";
    /// A server that stops.
    pub const SHUTDOWN: &str = "57P01";
    /// An error of ours.
    pub const INTERNAL: &str = "XX000";
}

/// Why a message is not answered.
#[derive(Debug)]
pub enum Fault {
    /// Something to tell the client.
    Said(Box<ErrorInfo>),
    /// The connection is of no more use.
    Gone,
}

impl Fault {
    /// Returns an error of a statement.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self::Said(Box::new(ErrorInfo::new("ERROR".to_owned(), code.to_owned(), message.into())))
    }

    /// Returns an error that ends the connection.
    pub fn fatal(code: &str, message: impl Into<String>) -> Self {
        Self::Said(Box::new(ErrorInfo::new("FATAL".to_owned(), code.to_owned(), message.into())))
    }

    /// Adds what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Self::Said(info) = &mut self {
            info.hint = Some(hint.into());
        }
        self
    }
}

impl From<io::Error> for Fault {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl From<PgWireError> for Fault {
    fn from(error: PgWireError) -> Self {
        match error {
            PgWireError::IoError(_) => Self::Gone,
            error => Self::Said(Box::new(error.into())),
        }
    }
}
