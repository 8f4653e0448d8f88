//! Turns Azure flow logs into ranked findings about blocked dependencies. In reading order:
//!
//! - [`flow`] and [`net`]: the vocabulary of one flow, addresses and ports.
//! - [`schema`]: the columns of `flows`.
//! - [`decode`]: decodes the bytes of a blob to record batches.
//! - [`source`]: lists and fetches blobs.
//! - [`catalog`]: the port table and service tags.
//! - [`policy`]: configured rules and routes, and what they do with flows; [`platform`]: what Azure says of its own state
//!   and of changes.
//! - [`lake`]: a Delta table with the rows of all logs that were ingested.
//! - [`engine`]: a DataFusion session over all of these; [`queries`] is its SQL.
//! - [`findings`]: what is blocked, scored and explained; [`inspection`]: what an archive contains.
//! - [`ingest`]: copies logs into a lake, each row once.
//! - [`generate`]: archives with planted faults, for tests.
//! - [`job`]: the scheduled job.
//! - [`options`]: the options of a run, resolved.
//! - [`remedy`]: the options that advice names.
//! - [`report`]: output formats, with values as in [`display`]; [`answer`]: where answers go; [`shell`]: interactive SQL;
//!   [`job`]: the scheduled job; `server`: the tables over PostgreSQL's protocol;
//!   `cluster`: several machines; [`cli`]: the command line.

#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used))]

#[cfg(feature = "engine")]
pub mod answer;
pub mod catalog;
#[cfg(feature = "engine")]
pub mod cli;
#[cfg(feature = "cluster")]
pub mod cluster;
pub mod decode;
pub mod display;
#[cfg(feature = "engine")]
pub mod engine;
#[cfg(feature = "engine")]
pub mod findings;
pub mod flow;
pub mod generate;
#[cfg(feature = "engine")]
pub mod ingest;
#[cfg(feature = "engine")]
pub mod inspection;
#[cfg(feature = "engine")]
pub mod job;
#[cfg(feature = "engine")]
pub mod lake;
pub mod names;
pub mod net;
#[cfg(feature = "engine")]
pub mod options;
pub mod platform;
pub mod policy;
pub mod queries;
pub mod remedy;
#[cfg(feature = "engine")]
pub mod report;
pub mod schema;
#[cfg(feature = "serve")]
pub mod server;
#[cfg(feature = "engine")]
pub mod shell;
pub mod source;
pub mod time;
