use std::time::{Duration, SystemTime};

use super::*;

/// Sets the time of every file of a folder.
fn date(folder: &Path, time: SystemTime) {
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            date(&entry, time);
        } else {
            let file = std::fs::File::options().append(true).open(&entry).expect("a file");
            file.set_modified(time).expect("a time");
        }
    }
}

#[test]
fn a_clock_that_jumps_loses_nothing() {
    let mut world = World::new(61);
    let name = world.add(1, 0, 10);
    let lake = PathBuf::from(world.lake());
    let year = Duration::from_secs(400 * 86_400);
    // The clock was wrong by more than a year, either way, so that all retention times have passed or never pass.
    for time in [SystemTime::now() + year, SystemTime::now() - year] {
        for round in 0..6 {
            world.grow(&name, 2);
            if round == 3 {
                world.rewrite(&name);
            }
            world.ingest();
            date(&lake, time);
        }
        world.done(&["lake", "compact", "LAKE"]);
        world.done(&["lake", "vacuum", "LAKE"]);
        world.check("after a jump");
        world.done(&["lake", "verify", "LAKE", "LOGS"]);
    }
    let said = world.done(&["ingest", "LOGS", "--to", "LAKE", "--now", "2020-01-01T00:00:00Z"]);
    assert!(said.contains(", 0 minutes ago\n"), "{said}");
}

/// Runs an ingest that fails with one sentence and changes no row.
#[cfg(target_os = "linux")]
fn fails(world: &World, wrapper: &[&str], says: &str) {
    let before = rows(&world.lake());
    let program = env!("CARGO_BIN_EXE_flowgap");
    let (logs, lake) = (world.logs(), world.lake());
    let command = [wrapper, &[program, "ingest", &logs, "--to", &lake]].concat();
    let output = Command::new(command[0]).args(&command[1..]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(4), "{wrapper:?}: {}{}", stdout(&output), stderr(&output));
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    assert!(stderr(&output).contains(says), "{wrapper:?} says: {}", stderr(&output));
    assert_eq!(rows(&world.lake()), before);
}

#[test]
#[cfg(target_os = "linux")]
fn a_folder_without_permission_is_one_sentence() {
    use std::os::unix::fs::PermissionsExt;

    let mut world = World::new(62);
    world.add(1, 0, 3);
    world.ingest();
    world.add(1, 1, 3);
    // Root may write anywhere without this.
    let limited = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    let wrapper = if is_root { &limited[..] } else { &["env"] };
    let folders = ["_flowgap/cursors", "_delta_log", "flow_date=2026-05-04"].map(|name| world.path("lake").join(name));
    let set = |folder: &Path, mode| {
        std::fs::set_permissions(folder, PermissionsExt::from_mode(mode)).expect("set");
    };
    for folder in &folders {
        set(folder, 0o555);
        fails(&world, wrapper, "cannot write (permission denied): run as a user who may write all its folders");
        set(folder, 0o755);
    }
    world.ingest();
    world.check("permitted again");
}

/// Runs an ingest on a file system of this size with a copy of the lake. Returns `None` where it cannot be mounted.
#[cfg(target_os = "linux")]
fn on_small_disk(world: &World, size: &str, to: &Path) -> Option<Output> {
    let disk = world.path("disk");
    std::fs::create_dir_all(&disk).expect("a folder");
    let script = format!(
        "mount -t tmpfs -o {size} none {disk} || exit 99; cp -r {lake}/. {disk} || exit 98
         {program} ingest {logs} --to {disk}; status=$?; mkdir {to}; cp -r {disk}/. {to} && exit $status",
        disk = disk.display(),
        to = to.display(),
        lake = world.lake(),
        logs = world.logs(),
        program = env!("CARGO_BIN_EXE_flowgap"),
    );
    let output = Command::new("unshare").args(["--mount", "sh", "-c", &script]).output().ok()?;
    assert_ne!(output.status.code(), Some(98), "{size}: {}", stderr(&output));
    (output.status.code() != Some(99) && !stderr(&output).contains("unshare")).then_some(output)
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_one_sentence_and_nothing_is_lost() {
    let mut world = World::new(63);
    world.add(1, 0, 3);
    world.ingest();
    let before = rows(&world.lake());
    world.add(1, 1, 400);
    let [inodes, bytes] = used(Path::new(&world.lake()));
    let mut full = 0;
    // Room for some more files, so that each step of a commit is the first that fails, or for some more bytes.
    let limits = (0..4).map(|more| format!("nr_inodes={}", inodes + more));
    for (nr, limit) in limits.chain([format!("size={}", bytes + 8192)]).enumerate() {
        let copy = world.path(&format!("copy-{nr}"));
        let Some(output) = on_small_disk(&world, &limit, &copy) else {
            println!("not tried, because nothing can be mounted");
            return;
        };
        let lake = copy.display().to_string();
        if output.status.code() != Some(0) {
            full += 1;
            assert_eq!(output.status.code(), Some(4), "{limit}: {}", stderr(&output));
            assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
            let says = "cannot write (no storage space): make room and run again; what was committed stays";
            assert!(stderr(&output).contains(says), "{limit}: {}", stderr(&output));
            assert_eq!(rows(&lake), before, "{limit}");
        }
        world.done(&["ingest", "LOGS", "--to", &lake]);
        world.check_at(&lake, &limit);
    }
    assert!(full > 3, "{full} disks were full");
}

/// Number of files and folders that a folder takes, and of bytes in pages.
#[cfg(target_os = "linux")]
fn used(folder: &Path) -> [u64; 2] {
    let below = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let of_each = below.map(|path| match path.is_dir() {
        true => used(&path),
        false => [1, std::fs::metadata(&path).expect("a file").len().next_multiple_of(4096)],
    });
    of_each.fold([1, 0], |sum, each| [sum[0] + each[0], sum[1] + each[1]])
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_that_may_not_grow_is_one_sentence_and_nothing_is_lost() {
    let mut world = World::new(35);
    world.add(1, 0, 3);
    world.ingest();
    let before = rows(&world.lake());
    for hour in 1..6 {
        world.add(1, hour, 400);
    }
    // No file may become larger than this, so that each write beyond it fails, as on a full disk.
    for kilobytes in [0, 1, 8] {
        let program = env!("CARGO_BIN_EXE_flowgap");
        let limited = format!(
            "trap '' XFSZ; ulimit -f {kilobytes}; exec {program} ingest {} --to {}",
            world.logs(),
            world.lake()
        );
        let output = Command::new("bash").args(["-c", &limited]).output().expect("bash starts");
        assert_eq!(output.status.code(), Some(4), "{kilobytes}: {}", stderr(&output));
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
        let says = "cannot write (file too large): make room and run again; what was committed stays";
        assert!(stderr(&output).contains(says), "{}", stderr(&output));
        assert_eq!(rows(&world.lake()), before);
    }
    world.ingest();
    world.check("room again");
}
