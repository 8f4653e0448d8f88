//! Parses, builds the runtime, dispatches, and exits with the verb's status.

use std::process::ExitCode;

use clap::Parser;
use flowgap::cli::{Cli, Status};
use tokio::runtime::Builder;

/// A scan frees and allocates megabytes of columns every few milliseconds; `benches/README.md` has what this gains.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Of each thread, as the first one has it: plans of long queries are deep.
const STACK: usize = 8 << 20;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let status = match Builder::new_multi_thread().enable_all().thread_stack_size(STACK).build() {
        Ok(runtime) => {
            let status = runtime.block_on(cli.run());
            // What still waits for a pipe has nobody to tell.
            runtime.shutdown_background();
            status
        }
        Err(error) => {
            eprintln!("flowgap: the runtime did not start: {error}");
            Status::Internal
        }
    };
    ExitCode::from(status as u8)
}
