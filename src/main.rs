//! Parses, builds the runtime, dispatches, and exits with the verb's status.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use flowgap::cli::{Cli, Status, checked, leave, say_panics};
use flowgap::report::sink::say;
use tokio::runtime::Builder;

/// A scan frees and allocates megabytes of columns every few milliseconds; `benches/README.md` has what this gains.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Stack size of worker threads, equal to the main thread's. Planning a long query recurses deeply.
const STACK: usize = 8 << 20;

fn main() -> ExitCode {
    say_panics();
    let cli = Cli::read(std::env::args_os()).unwrap_or_else(|said| leave(&said));
    let status = match Builder::new_multi_thread().enable_all().thread_stack_size(STACK).build() {
        Ok(runtime) => {
            let status = catch_unwind(AssertUnwindSafe(|| runtime.block_on(cli.run()))).unwrap_or(Status::Internal);
            // Does not wait for tasks that block on stdin.
            runtime.shutdown_background();
            status
        }
        Err(error) => {
            say(format_args!("flowgap: the runtime did not start: {error}"));
            Status::Internal
        }
    };
    ExitCode::from(checked(status) as u8)
}
