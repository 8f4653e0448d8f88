//! Small tables beside `flows`: those of the port table, those that are made when a query reads them, and files of the
//! user.

pub(super) mod catalog;
pub(super) mod deferred;
pub(super) mod lookup;
