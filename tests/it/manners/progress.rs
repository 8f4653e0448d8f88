//! The progress bar on a terminal, over a slow account.

use std::sync::Arc;
use std::time::Duration;

use crate::shell::Terminal;
use crate::support::binary::root;
use crate::support::fake_storage::{Contents, Distance, Fake};

const BLOBS: usize = 24;
const BODY: &str = "testdata/vnet-v4/plain.json";

fn slow_account() -> (Fake, u64) {
    let body = std::fs::read(root().join(BODY)).expect("a sample");
    let size = BLOBS * body.len();
    let names = (0..BLOBS).map(|hour| {
        format!("flowLogResourceID=/A/B/y=2026/m=05/d=01/h={hour:02}/m=00/macAddress=000D3A000001/PT1H.json")
    });
    // All of it takes about 2 seconds.
    let distance = Distance { delay: Duration::from_millis(10), rate: size as u64 / 2 };
    (Fake::start(Contents { names: names.collect(), bodies: vec![Arc::new(body)] }, distance), size as u64)
}

/// Every state of the bar, one after the other.
fn bars(arguments: &[&str]) -> Vec<String> {
    let state = tempfile::tempdir().expect("a folder");
    let terminal = Terminal::start(state.path(), 100, false, &[], arguments);
    let (screens, status) = terminal.watch();
    assert_eq!(status, Some(0), "{screens:#?}");
    let mut bars: Vec<String> = screens
        .iter()
        .flat_map(|screen| screen.lines())
        .filter(|line| line.contains("B of ") || line.contains("B read, "))
        .map(str::to_owned)
        .collect();
    bars.dedup();
    bars
}

/// Bytes in the form of `1.50 KiB`.
fn bytes(text: &str) -> f64 {
    let mut words = text.split_whitespace().rev();
    let unit = match words.next() {
        Some("B") => 1.0,
        Some("KiB") => 1024.0,
        Some("MiB") => 1_048_576.0,
        other => panic!("{other:?} in {text:?}"),
    };
    words.next().and_then(|number| number.parse::<f64>().ok()).unwrap_or_else(|| panic!("{text:?}")) * unit
}

#[test]
fn the_bar_ends_at_the_end() {
    let (fake, size) = slow_account();
    let bars = bars(&["inspect", &fake.address(), "--concurrency", "2"]);
    let (mut plain, mut rated) = (0, 0);
    for bar in &bars {
        let (read, rest) = bar.split_once(" of ").unwrap_or_else(|| panic!("more than all is read: {bars:#?}"));
        let total = rest.split(',').next().unwrap_or_default();
        assert!(bytes(read) <= bytes(total) && bytes(total) <= size as f64 * 1.01, "{bar}");
        match (rest.contains("/s, "), rest.contains(" left")) {
            (false, false) => plain += 1,
            (true, true) => rated += 1,
            _ => panic!("rate or rest alone: {bar}"),
        }
        assert!(bytes(read) > 0.0 || !rest.contains("/s"), "a rate of nothing: {bar}");
    }
    assert!(plain > 0 && rated > 0, "{bars:#?}");
    assert!(bars.first().is_some_and(|bar| !bar.contains("/s")), "{bars:#?}");
}

#[test]
fn what_is_read_twice_has_no_rest() {
    let (fake, size) = slow_account();
    let both = "SELECT count(*) FROM flows AS a JOIN flows AS b ON a.src_port = b.src_port";
    let bars = bars(&["sql", &fake.address(), "--concurrency", "2", "-c", both]);
    let again: Vec<&String> = bars.iter().filter(|bar| bar.contains("B read, ")).collect();
    assert!(!again.is_empty(), "{bars:#?}");
    for bar in &bars {
        match bar.split_once(" read, ") {
            Some((read, rate)) => assert!(bytes(read) > size as f64 * 0.99 && !rate.contains("left"), "{bar}"),
            None => {
                let (read, rest) = bar.split_once(" of ").unwrap_or_else(|| panic!("{bar}"));
                assert!(bytes(read) <= bytes(rest.split(',').next().unwrap_or_default()), "{bar}");
            }
        }
    }
}
