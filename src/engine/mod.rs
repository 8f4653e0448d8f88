//! The only module that knows DataFusion: one session, the table `flows`, small tables and functions. It must not know
//! findings, report formats or terminals.

mod archive;
mod error;
mod explorer;
mod fragment;
mod functions;
mod groups;
mod logged;
mod rows;
mod scan;
mod scope;
mod session;
mod tables;

pub use crate::decode::Versions;
pub use crate::schema::type_name;
pub use archive::{Archive, Listed, Reading, SessionOptions, Storage};
pub use error::SessionError;
pub use explorer::dialect::Asked;
pub use explorer::error::{Fault, FaultKind, Names, QueryError};
pub use explorer::params::{ParamValues, values};
pub use explorer::read_only::Statement;
pub use explorer::running::{Planned, RowStream, Rows};
pub use explorer::suggest::closest_name;
pub use explorer::{Explorer, QueryMemory};
pub use fragment::frame::{Frame, FrameKind};
pub use fragment::read::SpreadScan;
pub use fragment::run::{Faults, TaskRunner};
pub use fragment::{Job, Workers};
pub use functions::user::{FUNCTIONS, FunctionHelp};
pub use groups::state::{EXACT_ADDRESSES, distinct as distinct_addresses};
pub use rows::{ResultRows, Row};
pub use scan::control::{Control, Progress, Stop};
pub use scan::look::{Look, Round};
pub use scan::opener::{Scanned, read_unit};
pub use scan::receipt::{EDGE, InputProblem, InputSummary, Receipt, Receipts};
pub use scan::unit::{ScanUnit, UnitContents, UnitPlanner};
pub use scope::Scope;
pub use session::{Params, Session};
pub use tables::deferred::DeferredRows;
pub use tables::lookup::LookupError;
