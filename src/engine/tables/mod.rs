//! Small tables beside `flows`: those of the port table, and those that are made when a query reads them.

pub(super) mod catalog;
pub(super) mod deferred;
