//! Small tables beside `flows`: those of the port table, and those that are made when a query reads them. And the flows
//! of a lake, which `scan` gives as `flows`.

pub(super) mod catalog;
pub(super) mod deferred;
pub(super) mod lake;
