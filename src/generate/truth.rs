//! Writes the truth file: takes planted tuples of blobs in any order, and writes JSON lines in blob order. Knows
//! neither blobs nor the code that finds faults.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::Ipv4Addr;

use serde::Serialize;

use super::background::{HOUR_MS, Tuple};
use super::layout::Layout;
use super::planted::Planted;
use super::record::Texts;
use super::text::calendar;
use crate::flow::{Decision, Protocol};

/// Name of the truth file. It does not end in `.json`, so readers of the archive skip the file.
pub const TRUTH_FILE: &str = "truth.ndjson";

/// One line of the file: the planted tuples of one five-tuple in one hour.
#[derive(Serialize)]
struct Line<'a> {
    fault: &'a str,
    requirement: &'a str,
    rule: &'a str,
    /// ACL as logged: upper case in NSG logs.
    acl: &'a str,
    hour: &'a str,
    src_ip: Ipv4Addr,
    dst_ip: Ipv4Addr,
    src_port: u16,
    dst_port: u16,
    protocol: &'a str,
    decision: &'a str,
    tuples: u64,
}

/// Key of a line within an hour: fault, group, addresses and ports, whether UDP.
type Key = (usize, usize, u32, u32, u16, u16, bool);

/// Returns the lines of one interface and hour.
pub fn lines(layout: &Layout, texts: &Texts, interface: usize, hour: u32, planted: &[Planted]) -> io::Result<Vec<u8>> {
    let mut counts: BTreeMap<Key, u64> = BTreeMap::new();
    for Planted { fault, group, tuple } in planted {
        let Tuple { source, destination, source_port, port, is_udp, .. } = *tuple;
        *counts.entry((*fault, *group, source, destination, source_port, port, is_udp)).or_default() += 1;
    }
    let (year, month, day, hour) = calendar(layout.plan.start_ms / HOUR_MS + u64::from(hour));
    let hour = format!("{year:04}-{month:02}-{day:02}T{hour:02}:00:00Z");
    let mut out = Vec::new();
    for ((fault, group, source, destination, src_port, dst_port, is_udp), tuples) in counts {
        let (fault, group) = (&layout.plan.faults[fault], &layout.groups[group]);
        let decision = if group.is_denied { Decision::Deny } else { Decision::Allow };
        let line = Line {
            fault: fault.kind.name(),
            requirement: &fault.requirement.id,
            rule: &group.rule,
            acl: texts.acl(&layout.interfaces[interface]),
            hour: &hour,
            src_ip: source.into(),
            dst_ip: destination.into(),
            src_port,
            dst_port,
            protocol: &if is_udp { Protocol::UDP } else { Protocol::TCP }.name(),
            decision: decision.name(),
            tuples,
        };
        serde_json::to_writer(&mut out, &line)?;
        out.push(b'\n');
    }
    Ok(out)
}

/// The truth file being written.
pub struct Truth {
    file: BufWriter<File>,
    /// Number of the blob whose lines come next.
    next: usize,
    /// Lines of blobs after `next`. There are few, because blobs are taken in order.
    waiting: BTreeMap<usize, Vec<u8>>,
}

impl Truth {
    pub fn new(file: File) -> Self {
        Self { file: BufWriter::new(file), next: 0, waiting: BTreeMap::new() }
    }

    /// Adds the lines of a blob. Every blob is added once, even without lines.
    pub fn add(&mut self, blob: usize, lines: Vec<u8>) -> io::Result<()> {
        self.waiting.insert(blob, lines);
        while let Some(lines) = self.waiting.remove(&self.next) {
            self.file.write_all(&lines)?;
            self.next += 1;
        }
        Ok(())
    }

    pub fn finish(mut self) -> io::Result<()> {
        self.file.flush()
    }
}
