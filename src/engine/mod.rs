//! The only module that knows DataFusion: one session, the table `flows`, small tables and functions.
//! Knows no findings, report formats or terminals.

mod aggregates;
mod archive;
mod bounded;
mod catalog_tables;
mod exact;
mod explore;
mod flow_groups;
mod flow_source;
mod flow_table;
mod functions;
mod input;
mod kept;
mod late_tables;
mod look;
mod nearest;
mod places;
mod pushdown;
mod query_error;
mod read_only;
mod scope;
mod session;
mod table;
mod tag_functions;
mod unit;
mod values;

pub use crate::decode::Versions;
pub use archive::{Archive, Listed, SessionOptions, Storage};
pub use explore::{Answer, Explorer, Planned, Rows};
pub use flow_source::read_unit;
pub use input::{InputLog, InputProblem, InputSummary};
pub use kept::{EXACT_ADDRESSES, distinct as distinct_addresses};
pub use late_tables::LateRows;
pub use look::{Look, Round};
pub use nearest::nearest;
pub use query_error::{Names, QueryError};
pub use read_only::Statement;
pub use scope::Scope;
pub use session::{Params, Session, SessionError};
pub use table::Table;
pub use tag_functions::{FUNCTIONS, FunctionHelp};
pub use unit::{Planner, Reading, ScanUnit};
pub use values::{Values, values};
