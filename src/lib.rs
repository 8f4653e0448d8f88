//! From Azure flow logs to ranked findings of blocked dependencies. In reading order:
//!
//! - [`flow`] and [`net`]: the vocabulary of one flow, addresses and ports.
//! - [`schema`]: the columns of `flows`.
//! - [`decode`]: bytes of a blob to record batches.
//! - [`source`]: where the bytes come from.
//! - [`catalog`]: what should be true: port table and service tags.
//! - [`engine`]: DataFusion's session over all of these; [`queries`] is its SQL.
//! - [`findings`]: what is blocked, scored and explained; [`inspection`]: what an archive holds.
//! - [`generate`]: archives with planted faults, to try all this on.
//! - [`report`]: the formats, for values as [`display`] says; [`shell`]: questions of people's own; [`cli`]: the command line.

pub mod catalog;
#[cfg(feature = "engine")]
pub mod cli;
pub mod decode;
pub mod display;
#[cfg(feature = "engine")]
pub mod engine;
#[cfg(feature = "engine")]
pub mod findings;
pub mod flow;
pub mod generate;
#[cfg(feature = "engine")]
pub mod inspection;
pub mod names;
pub mod net;
pub mod queries;
#[cfg(feature = "engine")]
pub mod report;
pub mod schema;
#[cfg(feature = "engine")]
pub mod shell;
pub mod source;
pub mod time;
