//! Options of a run, resolved: plain values without defaults left to guess, made from arguments or a configuration.
//!
//! Knows no command line. Errors name the option by their variant, and the caller spells it.

mod exports;
mod scope;
mod source;
mod tag_cache;
mod window;
mod zone;

pub use exports::{ExportFault, ExportKind, ExportOptions, ExportsError};
pub use scope::{ScopeError, ScopeOptions, TagFile, open_edition, open_names};
pub use source::SourceOptions;
pub use tag_cache::{CachedChoice, cache_folder, cached_choice, cached_tags, outdated};
pub use window::{Window, WindowError};
pub use zone::{Zone, ZoneError};

use crate::names::names;

/// Condition for output that suits terminals only, such as colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum When {
    /// If the output is a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

names!(When { Auto = "auto", Always = "always", Never = "never" });
