//! What nobody thought of, through the real binary: blobs with random damage, and a service that answers anything. In CI a
//! few of each; `many_...` for as many as wanted, as fuzz/README.md says.

mod answers;
mod damage;

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many of a long run, and its seed, as the environment says.
fn wanted() -> (usize, u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    (number("CHANCE_RUNS").unwrap_or(1000) as usize, number("CHANCE_SEED").unwrap_or(1))
}

/// Does `work` for each number below `runs`, a few at a time.
fn each(runs: usize, threads: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let run = next.fetch_add(1, Ordering::Relaxed);
                    if run >= runs {
                        return;
                    }
                    work(run);
                }
            });
        }
    });
}
