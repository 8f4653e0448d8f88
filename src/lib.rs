//! From Azure flow logs to ranked findings of blocked dependencies. In reading order:
//!
//! - [`flow`] and [`net`]: the vocabulary of one flow, addresses and ports.
//! - [`schema`]: the columns of `flows`.
//! - [`decode`]: bytes of a blob to record batches.

pub mod catalog;
pub mod decode;
pub mod flow;
pub mod net;
pub mod schema;
