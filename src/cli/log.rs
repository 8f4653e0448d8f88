//! Log lines on stderr at the level that `FLOWGAP_LOG` names.
//!
//! Only this program's own events are written, because libraries may log addresses with their secrets.

use std::io::{self, Write};
use std::str::FromStr;

use tracing::Level;
use tracing::subscriber::set_global_default;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;

use super::Failure;
use crate::report::sink::{say, visible};

const VARIABLE: &str = "FLOWGAP_LOG";

/// Starts the log if the environment asks for one.
pub fn start() -> Result<(), Failure> {
    let Some(level) = std::env::var_os(VARIABLE).filter(|level| !level.is_empty()) else { return Ok(()) };
    let level = level.to_string_lossy();
    let level = Level::from_str(&level).map_err(|_| {
        Failure::usage(format!("{VARIABLE}: '{}' is not one of error, warn, info, debug, trace", visible(&level)))
    })?;
    let lines = layer().with_ansi(false).log_internal_errors(false).with_writer(|| Lines);
    let only_ours = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    set_global_default(registry().with(only_ours).with(lines))
        .map_err(|error| Failure::usage(format!("{VARIABLE}: {error}")))
}

/// Writes each event as one line through the sink of all messages.
struct Lines;

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        say(visible(String::from_utf8_lossy(line).trim_end()));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
