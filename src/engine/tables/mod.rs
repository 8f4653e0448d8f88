//! Small tables beside `flows`: those of the port table, those that are made when a query reads them, and files of the
//! user. And the flows of a lake, which `scan` gives as `flows`.

pub(super) mod catalog;
pub(super) mod deferred;
pub(super) mod lake;
pub(super) mod lookup;
