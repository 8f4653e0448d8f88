//! Writes answers: the rows of a query as they arrive, files that appear whole or not at all, until an interrupt.
//!
//! Shared by every verb and the shell. Knows no command-line options.

mod file;
mod interrupt;
mod pager;
mod rows;
mod state;

pub use file::{NewFile, Unwritten, print, write_private, write_to};
pub use interrupt::{Interrupt, Leftovers, Manner};
pub use pager::{Paged, Pager};
pub use rows::{ShowError, Shown, incomplete_warning, row_count_line, show, stdout_after};
pub use state::state_folder;
