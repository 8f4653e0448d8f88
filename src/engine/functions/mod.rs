//! SQL functions: those of the analysis, and those that user queries may call.

pub(super) mod analysis;
pub(super) mod locator;
pub(super) mod user;
