//! Small tables beside `flows`: of the port table, and those that are made when a query asks for them.

pub(super) mod catalog;
pub(super) mod deferred;
