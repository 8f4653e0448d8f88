use super::*;

fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        match entry.is_dir() {
            true => found.extend(files(&entry)),
            false => found.push(entry.display().to_string()),
        }
    }
    found.sort();
    found
}

/// A lake of several commits and days.
fn grown(seed: u64) -> World {
    let mut world = World::new(seed);
    for hour in 0..8 {
        world.add(1, hour, 10);
        world.ingest();
    }
    world
}

#[test]
fn status_says_what_a_lake_holds() {
    let mut world = grown(21);
    world.add(1, 11, 2);
    world.ingest();
    let said = world.done(&["lake", "status", "LAKE"]);
    let rows: u64 = world.expected().values().sum();
    for line in [
        &format!("table     {rows} rows, 9 files, "),
        "blobs     9, ",
        "flows     2026-05-04 20:",
        "gaps      3 hours without a blob:\n          2026-05-05 04:00 UTC to 2026-05-05 07:00 UTC\n",
        "problems  0, of which 0 records cannot be read\n",
    ] {
        assert!(said.contains(line), "no {line:?} in {said}");
    }
}

#[test]
fn compaction_joins_files_and_changes_no_row() {
    let world = grown(22);
    let before = snapshot(&world.lake());
    assert_eq!(before.files.len(), 8);
    let said = world.done(&["lake", "compact", "LAKE"]);
    assert!(said.starts_with("8 files became 2 of "), "{said}");
    world.check("compacted");
    assert!(world.done(&["lake", "compact", "LAKE"]).starts_with("0 files became 0"));
    let entry = world.path("lake/_delta_log").join(format!("{:020}.json", before.version + 1));
    let log = std::fs::read_to_string(entry).expect("an entry");
    assert!(log.contains("\"dataChange\":false") && !log.contains("\"dataChange\":true"), "{log}");
    assert_eq!(world.run(&["ingest", "LOGS", "--to", "LAKE"]).status.code(), Some(0));
}

#[test]
fn many_small_files_of_a_day_are_joined_by_an_ingest() {
    let mut world = World::new(23);
    let name = world.add(1, 0, 1);
    for _ in 0..60 {
        world.grow(&name, 1);
        world.ingest();
    }
    assert!(snapshot(&world.lake()).files.len() < 50);
    world.check("compacted");
}

#[test]
fn vacuum_deletes_what_no_version_needs() {
    let mut world = grown(24);
    world.done(&["lake", "compact", "LAKE"]);
    let name = World::name(1, 0);
    world.rewrite(&name);
    // A run that is killed before its commit leaves files that no version has.
    let mut killed = world.command(&["ingest", "LOGS", "--to", "LAKE"]);
    killed.env("FLOWGAP_FAILPOINT", "cursor-written:1");
    assert_eq!(killed.output().expect("flowgap starts").status.code(), None);
    let all = files(Path::new(&world.lake()));
    assert!(world.done(&["lake", "vacuum", "LAKE"]).starts_with("0 files"));
    let refused = world.run(&["lake", "vacuum", "LAKE", "--older-than", "1h"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("add --force"), "{}", stderr(&refused));
    age(Path::new(&world.lake()));
    let younger = ["lake", "vacuum", "LAKE", "--older-than", "30m", "--force"];
    let would = world.done(&[&younger[..], &["--dry-run"]].concat());
    assert!(would.contains("2 files of ") && would.contains(" would be deleted"), "{would}");
    assert_eq!(files(Path::new(&world.lake())), all);
    // Files that a compaction replaced are needed by readers of the version before, for as long as is asked.
    assert!(world.done(&younger).starts_with("2 files of "));
    assert_eq!(files(Path::new(&world.lake())).len(), all.len() - 2);
    world.ingest();
    world.check("vacuumed");
    world.done(&["lake", "verify", "LAKE", "LOGS"]);
}

#[test]
fn a_vacuum_keeps_what_is_committed_while_it_runs() {
    let mut world = grown(31);
    world.add(1, 8, 10);
    let gates = ["ingest", "vacuum"].map(|name| world.path(name));
    let held = |arguments: &[&str], place: &str, gate: &Path| {
        let run = kills::start(&world, arguments, Some(&format!("{place}:1:{}", gate.display())));
        let started = std::time::Instant::now();
        while !gate.exists() {
            assert!(started.elapsed().as_secs() < 60, "{place} is never reached");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        run
    };
    let release = |mut run: std::process::Child, gate: &Path| {
        std::fs::remove_file(gate).expect("removed");
        assert_eq!(run.wait().expect("an end").code(), Some(0));
    };
    // The files of a slow run are old before it commits them.
    let ingest = held(&["ingest", "LOGS", "--to", "LAKE"], "cursor-written", &gates[0]);
    age(Path::new(&world.lake()));
    let vacuum = ["lake", "vacuum", "LAKE", "--older-than", "1m", "--force"];
    let vacuum = held(&vacuum, "vacuum-listed", &gates[1]);
    release(ingest, &gates[0]);
    release(vacuum, &gates[1]);
    world.check("vacuumed");
    world.done(&["lake", "verify", "LAKE", "LOGS"]);
}

#[test]
fn one_of_a_thing_is_no_plural() {
    let mut world = World::new(32);
    world.add(1, 0, 1);
    let old = ["ingest", "LOGS", "--to", "LAKE", "--now", "2026-05-07T21:00:00Z"];
    let said = world.done(&old);
    assert!(said.contains(", 3 days ago\n"), "{said}");
    let status = world.done(&["lake", "status", "LAKE"]);
    assert!(status.contains(", 1 file, ") && status.contains(", 1 day\n"), "{status}");
    let would = world.done(&[&DELETE_FIRST_DAY[..], &["--dry-run"]].concat());
    assert!(would.contains(" of 1 day would be deleted, in 1 file of "), "{would}");
    let said = world.done(&["lake", "verify", "LAKE", "LOGS"]);
    assert!(said.ends_with("source  1 blob, 0 differences from the lake\n"), "{said}");
    world.rewrite(&World::name(1, 0));
    let found = world.run(&["lake", "verify", "LAKE", "LOGS"]);
    assert!(stdout(&found).contains("1 difference from the lake\n"), "{}", stdout(&found));
    let said = world.done(&["lake", "verify", "LAKE", "LOGS", "--rebuild-cursors"]);
    assert!(said.starts_with("cursors of 1 blob made again"), "{said}");
}

#[test]
fn verify_names_blobs_that_the_source_lacks() {
    let mut world = grown(33);
    let names: Vec<String> = world.blobs.keys().cloned().collect();
    names[..2].iter().for_each(|name| world.remove(name));
    let said = world.done(&["lake", "verify", "LAKE", "LOGS"]);
    let path = |name: &String| world.path("logs").join(name).display().to_string();
    let absent = "source  6 blobs, 0 differences from the lake\nabsent  2 blobs of the lake: ";
    assert!(said.contains(absent), "{said}");
    assert!(names[..2].iter().all(|name| said.contains(&path(name))), "{said}");
    names[2..6].iter().for_each(|name| world.remove(name));
    let said = world.done(&["lake", "verify", "LAKE", "LOGS"]);
    assert!(said.contains("absent  6 blobs of the lake: ") && said.ends_with(" and 3 more\n"), "{said}");
}

#[test]
fn deleted_days_do_not_come_back() {
    let mut world = grown(25);
    let before: u64 = rows(&world.lake()).values().sum();
    let would = world.done(&[&DELETE_FIRST_DAY[..], &["--dry-run"]].concat());
    assert!(would.contains("rows of 1 day would be deleted, in 4 files of "), "{would}");
    assert_eq!(rows(&world.lake()).values().sum::<u64>(), before);
    world.done(&DELETE_FIRST_DAY);
    let kept = |rows: Rows| -> Rows { rows.into_iter().filter(|(row, _)| row.starts_with("2026-05-05")).collect() };
    assert_eq!(rows(&world.lake()), kept(world.expected()));
    world.done(&["lake", "verify", "LAKE", "LOGS"]);
    world.grow(&World::name(1, 0), 3);
    world.rewrite(&World::name(1, 1));
    world.rewrite(&World::name(1, 6));
    world.ingest();
    assert_eq!(rows(&world.lake()), kept(world.expected()));
    world.done(&["lake", "verify", "LAKE", "LOGS"]);
    assert!(world.done(&["lake", "status", "LAKE"]).contains("kept      from 2026-05-05 on"));
}

#[test]
fn verify_finds_a_rewrite_that_keeps_size_and_etag() {
    let mut world = World::new(26);
    let name = world.add(1, 0, 60);
    world.ingest();
    world.done(&["lake", "verify", "LAKE", "LOGS"]);
    let path = world.path("logs").join(&name);
    let (text, metadata) = (std::fs::read_to_string(&path).expect("text"), std::fs::metadata(&path).expect("a file"));
    // One decision in the middle of the blob.
    let at = text.len() / 2 + text[text.len() / 2..].find(",O,").expect("a tuple") + 3;
    let other = if text[at..].starts_with('D') { 'B' } else { 'D' };
    let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
    std::fs::write(&path, changed).expect("written");
    let file = std::fs::File::options().append(true).open(&path).expect("a file");
    file.set_modified(metadata.modified().expect("a time")).expect("a time");
    assert!(world.ingest().contains("1 unchanged"));
    let found = world.run(&["lake", "verify", "LAKE", "LOGS"]);
    assert_eq!(found.status.code(), Some(3));
    assert!(stderr(&found).contains("its content changed"), "{}", stderr(&found));
    world.done(&["ingest", "LOGS", "--to", "LAKE", "--reread"]);
    world.done(&["lake", "verify", "LAKE", "LOGS"]);
    assert_eq!(rows(&world.lake()), world.expected());
}

#[test]
fn chains_of_cursors_stay_short() {
    let mut world = World::new(27);
    (0..9).for_each(|hour| (0..9).for_each(|interface| _ = world.add(interface, hour, 1)));
    world.ingest();
    let name = World::name(1, 0);
    for round in 0..40 {
        world.grow(&name, 1);
        world.ingest();
        let snapshot = snapshot(&world.lake());
        let cursors = runtime().block_on(snapshot.cursors()).expect("cursors");
        assert!(cursors.paths().count() <= 32, "round {round}");
        assert_eq!(cursors.blobs, 81);
    }
    world.check("long");
}

#[test]
fn deleted_days_stay_deleted_when_cursors_are_made_again() {
    let world = grown(28);
    world.done(&DELETE_FIRST_DAY);
    let kept = rows(&world.lake());
    for file in files(&world.path("lake/_flowgap/cursors")) {
        std::fs::remove_file(file).expect("removed");
    }
    let said = world.done(&["lake", "verify", "LAKE", "LOGS", "--rebuild-cursors"]);
    assert_eq!(said, "cursors of 8 blobs made again; the next ingest reads 0 of them again\n");
    world.ingest();
    assert_eq!(rows(&world.lake()), kept);
    assert!(world.done(&["lake", "status", "LAKE"]).contains("kept      from 2026-05-05 on"));
}

#[test]
fn an_ingest_that_cannot_compact_has_ingested() {
    let mut world = World::new(29);
    let name = world.add(1, 0, 1);
    for _ in 0..47 {
        world.grow(&name, 1);
        world.ingest();
    }
    let before = rows(&world.lake()).values().sum::<u64>();
    let path = world.path("lake").join(snapshot(&world.lake()).files[0].path.as_ref());
    let whole = std::fs::read(&path).expect("a file");
    std::fs::write(&path, vec![0; whole.len()]).expect("written");
    world.grow(&name, 1);
    let output = world.run(&["ingest", "LOGS", "--to", "LAKE"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("0 new, 1 grown"), "{}", stdout(&output));
    assert!(stderr(&output).contains("its small files were not joined: "), "{}", stderr(&output));
    // So does the scheduled job.
    let (config, state) = (world.path("flowgap.toml"), world.path("state"));
    let text = format!(
        "schema = \"flowgap.config/1\"\nstate = {state:?}\n[source.logs]\naddress = [{:?}]\nlake = {:?}\n\
         [[instance]]\nname = \"apim\"\nsource = \"logs\"\nsubnets = [\"192.0.2.0/24\"]\nwindow = \"24h\"\n",
        world.logs(),
        world.lake()
    );
    std::fs::write(&config, text).expect("written");
    let output = world.run(&["run", "--config", &config.display().to_string(), "--now", "2026-05-04T22:00:00Z"]);
    assert!(stderr(&output).contains("its small files were not joined: "), "{}", stderr(&output));
    std::fs::write(&path, whole).expect("written");
    assert!(rows(&world.lake()).values().sum::<u64>() > before);
    world.ingest();
    world.check("compacted");
}

#[test]
#[cfg(unix)]
fn an_interrupted_check_says_and_changes_nothing() {
    use std::io::Read;

    let mut world = World::new(30);
    (0..8).for_each(|hour| _ = world.add(1, hour, 3000));
    world.ingest();
    let version = snapshot(&world.lake()).version;
    for more in [&[][..], &["--rebuild-cursors"]] {
        let arguments = [&["lake", "verify", "LAKE", "LOGS"], more].concat();
        let mut was_interrupted = false;
        for after in (2..40).map(|step| 5 * step) {
            let mut command = world.command(&arguments);
            let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("flowgap starts");
            std::thread::sleep(std::time::Duration::from_millis(after));
            let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill starts");
            let status = child.wait().expect("an end");
            let mut said = String::new();
            child.stdout.take().expect("a pipe").read_to_string(&mut said).expect("text");
            if sent.success() && status.code() == Some(130) {
                was_interrupted = true;
                assert_eq!(said, "");
                assert_eq!(snapshot(&world.lake()).version, version);
                break;
            }
            if status.code() == Some(0) && !more.is_empty() {
                // It ended before the signal.
                assert!(said.starts_with("cursors of 8 blobs"), "{said}");
                return;
            }
            assert!(status.code().is_none_or(|code| code == 0), "{status:?}: {said}");
        }
        assert!(was_interrupted, "{arguments:?} was never interrupted");
    }
}
