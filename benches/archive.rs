//! What the benchmarks read: archives of `flowgap generate`, and plain reading to compare with. Eight interfaces log a
//! thousand tuples a minute each, 12 % of them denied; peers and source ports are nearly all different.

#![allow(dead_code, reason = "no benchmark uses all of it")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flowgap::catalog::Edition;
use flowgap::generate::{self, Kind, Plan, Variety};

/// The interfaces lie here.
pub const SUBNET: &str = "10.20.1.0/24";
const INTERFACES: u32 = 8;
const TUPLES_A_MINUTE: u32 = 1000;
/// 2026-05-04T00:00:00Z.
const START_MS: u64 = 1_777_852_800_000;
/// About what an hour of all interfaces takes.
const HOUR_BYTES: f64 = 33e6;
/// Plain reading, as fast as it gets: measured with 64 KiB to 4 MiB.
const BUFFER: usize = 256 << 10;

/// A folder below the temporary one, where it is made unless it is there already.
pub fn folder(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("flowgap-bench-{name}"));
    if !folder.is_dir() {
        let partial = folder.with_extension("partial");
        let _ = fs::remove_dir_all(&partial);
        make(&partial);
        fs::rename(&partial, &folder).expect("the archive gets its name");
    }
    folder
}

/// One blob for each hour and interface.
pub fn many_blobs(kind: Kind, gigabytes: f64) -> PathBuf {
    folder(&format!("{}-{gigabytes}", kind.name()), |folder| {
        write_hours(folder, kind, hours(gigabytes), INTERFACES, TUPLES_A_MINUTE);
    })
}

/// What a varied archive is made of: all of them have about as many tuples, but for those that vary in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub hours: u32,
    pub interfaces: u32,
    pub tuples_per_minute: u32,
    pub variety: Variety,
}

impl Shape {
    /// 5.8 million tuples, 0.41 GB: the middle of all axes.
    pub const MIDDLE: Self = Self {
        hours: 12,
        interfaces: 4,
        tuples_per_minute: 2000,
        variety: Variety {
            local_addresses: None,
            rules: None,
            acls: None,
            remote_addresses: None,
            ports: None,
            denied_percent: None,
        },
    };

    /// As many tuples in so many hours, of so many interfaces.
    pub fn spread(hours: u32, interfaces: u32) -> Self {
        let all = Self::MIDDLE.hours * Self::MIDDLE.interfaces * Self::MIDDLE.tuples_per_minute;
        Self { hours, interfaces, tuples_per_minute: (all / hours / interfaces).max(1), ..Self::MIDDLE }
    }

    pub fn varied(variety: Variety) -> Self {
        Self { variety, ..Self::MIDDLE }
    }

    /// The archive, and the subnets it is analyzed with.
    pub fn archive(&self, name: &str) -> (PathBuf, Vec<String>) {
        let plan = self.plan(Kind::Vnet4);
        let subnets = plan.subnets().iter().map(ToString::to_string).collect();
        let write = |folder: &Path| {
            generate::write(folder, &plan).expect("an archive is written");
        };
        (folder(name, write), subnets)
    }

    fn plan(&self, kind: Kind) -> Plan {
        let requirements = Edition::newest().expect("valid").rows().to_vec();
        Plan {
            kind,
            start_ms: START_MS,
            hours: self.hours,
            interfaces: self.interfaces,
            tuples_per_minute: self.tuples_per_minute,
            variety: self.variety,
            seed: 1,
            threads: threads(),
            requirements,
            service_tags: None,
            faults: Vec::new(),
        }
    }
}

fn hours(gigabytes: f64) -> u32 {
    (gigabytes * 1e9 / HOUR_BYTES).ceil() as u32
}

/// About so many blobs of so many tuples, 80 bytes each: each record of an archive in a blob of its own, told apart by
/// its minute.
pub fn small_blobs(kind: Kind, count: u32, tuples: u32) -> PathBuf {
    folder(&format!("{}-{count}-of-{tuples}", kind.name()), |folder| {
        let whole = folder.with_extension("whole");
        let _ = fs::remove_dir_all(&whole);
        write_hours(&whole, kind, count.div_ceil(INTERFACES * 60), INTERFACES, tuples);
        for (path, _) in blobs(&whole) {
            let text = fs::read_to_string(&path).expect("readable");
            let place = path.strip_prefix(&whole).ok().and_then(Path::to_str).expect("a name of its own");
            for (minute, record) in records(&text).enumerate() {
                let blob = folder.join(place.replacen("m=00", &format!("m={minute:02}"), 1));
                fs::create_dir_all(blob.parent().expect("a folder")).expect("a folder");
                fs::write(blob, format!("{HEAD}{record}{TAIL}")).expect("written");
            }
        }
        fs::remove_dir_all(&whole).expect("removed");
    })
}

/// What generated blobs have around their records.
const HEAD: &str = "{\"records\":[";
const TAIL: &str = "]}";

/// Records of a generated blob, which all begin alike.
fn records(blob: &str) -> impl Iterator<Item = &str> {
    let records = blob.strip_prefix(HEAD).and_then(|rest| rest.strip_suffix(TAIL)).expect("a whole blob");
    let mut rest = Some(records);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let end = text.find("},{\"time\":").map_or(text.len(), |at| at + 1);
        rest = text.get(end + 1..);
        Some(&text[..end])
    })
}

/// All records of [`many_blobs`] in one.
pub fn one_blob(kind: Kind, gigabytes: f64) -> PathBuf {
    folder(&format!("{}-{gigabytes}-one", kind.name()), |folder| {
        let many = many_blobs(kind, gigabytes);
        fs::create_dir_all(folder).expect("a folder");
        let mut one = File::create(folder.join("PT1H.json")).expect("a file");
        let mut before = HEAD;
        for (path, _) in blobs(&many) {
            let text = fs::read_to_string(path).expect("readable");
            for record in records(&text) {
                write!(one, "{before}{record}").expect("written");
                before = ",";
            }
        }
        write!(one, "{TAIL}").expect("written");
    })
}

fn write_hours(folder: &Path, kind: Kind, hours: u32, interfaces: u32, tuples_per_minute: u32) {
    let plan = Shape { hours, interfaces, tuples_per_minute, variety: Variety::default() }.plan(kind);
    generate::write(folder, &plan).expect("an archive is written");
}

pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Blobs below a folder with their sizes, in the order of their names.
pub fn blobs(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry")) {
        if entry.file_type().expect("a type").is_dir() {
            found.extend(blobs(&entry.path()));
        } else if entry.file_name() == "PT1H.json" {
            found.push((entry.path(), entry.metadata().expect("metadata").len()));
        }
    }
    found.sort();
    found
}

/// The reference: plain `read()` into one buffer for each of `threads`.
pub fn read_all(files: &[(PathBuf, u64)], threads: usize) -> Duration {
    let start = Instant::now();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut buffer = vec![0; BUFFER];
                while let Some((path, _)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut file = File::open(path).expect("opens");
                    while file.read(&mut buffer).expect("reads") > 0 {}
                }
            });
        }
    });
    start.elapsed()
}

pub fn best(times: &[Duration]) -> f64 {
    times.iter().min().map_or(f64::NAN, Duration::as_secs_f64)
}

pub fn median(times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort();
    times.get(times.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
}
