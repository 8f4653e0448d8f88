//! The only module that knows DataFusion: one session, the table `flows`, small tables and functions.
//! Knows no findings, report formats or terminals.

mod aggregates;
mod catalog_tables;
mod flow_groups;
mod flow_source;
mod flow_table;
mod functions;
mod input;
mod kept;
mod places;
mod pushdown;
mod session;
mod table;
mod unit;

pub use crate::decode::Versions;
pub use flow_source::read_unit;
pub use input::{InputLog, InputProblem, InputSummary};
pub use kept::distinct as distinct_addresses;
pub use session::{Listed, Params, Scope, Session, SessionError, SessionOptions, Storage};
pub use table::Table;
pub use unit::{Planner, Reading, ScanUnit};
