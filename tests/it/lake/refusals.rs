use super::*;

fn refused(world: &World, arguments: &[&str], status: i32, says: &str) {
    let output = world.run(arguments);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}{}", stdout(&output), stderr(&output));
    assert!(stderr(&output).contains(says), "{arguments:?} says: {}", stderr(&output));
}

const INGEST: [&str; 4] = ["ingest", "LOGS", "--to", "LAKE"];

#[test]
fn only_lakes_and_empty_folders_are_written() {
    let mut world = World::new(31);
    world.add(1, 0, 3);
    refused(&world, &["lake", "status", "LAKE"], 4, "there is no lake at");
    let empty = world.path("empty").display().to_string();
    std::fs::create_dir(&empty).expect("a folder");
    assert_eq!(world.run(&["ingest", &empty, "--to", "LAKE"]).status.code(), Some(4));
    assert!(!Path::new(&world.lake()).exists(), "no lake was made");
    let lake = PathBuf::from(world.lake());
    place(&lake, "notes.txt", "mine");
    refused(&world, &INGEST, 2, "is not a lake of flowgap: it holds notes.txt: name an empty folder");
    assert_eq!(std::fs::read_dir(&lake).expect("a folder").count(), 1, "nothing was written");
    std::fs::remove_file(lake.join("notes.txt")).expect("removed");
    world.ingest();
    refused(&world, &["ingest", "-", "--to", "LAKE"], 2, "standard input (-) has no name");
    refused(&world, &["ingest", "nowhere", "--to", "LAKE"], 4, "'nowhere' does not exist");
}

/// Changes the first entry of the log of a lake.
fn change_first_entry(world: &World, from: &str, to: &str) {
    let path = world.path("lake/_delta_log/00000000000000000000.json");
    let text = std::fs::read_to_string(&path).expect("an entry");
    assert!(text.contains(from), "{text}");
    std::fs::write(path, text.replace(from, to)).expect("written");
}

#[test]
fn tables_of_others_and_newer_lakes_are_refused() {
    let mut world = World::new(32);
    world.add(1, 0, 3);
    world.ingest();
    change_first_entry(&world, "\"flowgap.lake\":\"1\"", "\"flowgap.lake\":\"2\"");
    for arguments in [&INGEST[..], &["lake", "verify", "LAKE"]] {
        refused(
            &world,
            arguments,
            2,
            "is a lake of version 2, and this flowgap knows versions up to 1: use a newer flowgap",
        );
    }
    change_first_entry(&world, "flowgap.lake", "other.lake");
    refused(&world, &INGEST, 2, "it is a Delta table of another program");
}

#[test]
fn rows_that_others_changed_are_refused_until_the_cursors_are_made_again() {
    let mut world = World::new(33);
    let name = world.add(1, 0, 8);
    world.add(1, 1, 8);
    world.ingest();
    // Another program removes the rows of a file.
    let before = snapshot(&world.lake());
    let gone = &before.files[0];
    let entry = format!(
        "{{\"commitInfo\":{{\"operation\":\"DELETE\"}}}}\n{{\"remove\":{{\"path\":\"{}\",\"dataChange\":true,\
         \"deletionTimestamp\":1,\"extendedFileMetadata\":true,\"partitionValues\":{{\"flow_date\":\"2026-05-04\"}},\
         \"size\":{}}}}}\n",
        gone.path, gone.size
    );
    place(Path::new(&world.lake()), &format!("_delta_log/{:020}.json", before.version + 1), entry);
    let says = format!("changed rows of {} in version {} (DELETE)", world.lake(), before.version + 1);
    for arguments in [&INGEST[..], &["lake", "status", "LAKE"], &["lake", "compact", "LAKE"]] {
        refused(&world, arguments, 4, &says);
    }
    let said = world.done(&["lake", "verify", "LAKE", "LOGS", "--rebuild-cursors"]);
    assert!(said.starts_with("cursors of "), "{said}");
    world.ingest();
    world.check("made again");
    world.grow(&name, 2);
    world.ingest();
    world.check("grown");
}

#[test]
fn damaged_and_lost_cursors_are_made_again() {
    let mut world = World::new(34);
    let names: Vec<String> = (0..4).map(|hour| world.add(1, hour, 6)).collect();
    world.ingest();
    let cursor = || {
        let path = runtime().block_on(snapshot(&world.lake()).cursors()).expect("cursors").paths().next().cloned();
        Path::new(&world.lake()).join(path.expect("a file").as_ref())
    };
    let path = cursor();
    let whole = std::fs::read(&path).expect("a file");
    let rebuild = ["lake", "verify", "LAKE", "LOGS", "--rebuild-cursors"];
    for damaged in [&whole[..whole.len() / 2], b"not Parquet"] {
        std::fs::write(&path, damaged).expect("written");
        refused(&world, &INGEST, 4, "cannot be used");
        refused(&world, &INGEST, 4, &format!("flowgap lake verify {} --rebuild-cursors SOURCE", world.lake()));
    }
    let said = world.done(&rebuild);
    assert_eq!(said, "cursors of 4 blobs made again; the next ingest reads 0 of them again\n");
    assert!(world.ingest().contains("4 unchanged"));
    std::fs::remove_file(cursor()).expect("removed");
    refused(&world, &INGEST, 4, "it is missing");
    // Blobs that changed or vanished meanwhile.
    world.rewrite(&names[0]);
    world.grow(&names[1], 2);
    world.remove(&names[2]);
    assert!(world.done(&rebuild).ends_with("reads 3 of them again\n"));
    let said = world.ingest();
    assert!(said.contains("0 new, 0 grown, 2 rewritten, 1 unchanged"), "{said}");
    world.check("made again");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_one_sentence_and_nothing_is_lost() {
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
        assert!(stderr(&output).contains("File too large"), "{}", stderr(&output));
        assert_eq!(rows(&world.lake()), before);
    }
    world.ingest();
    world.check("room again");
}
