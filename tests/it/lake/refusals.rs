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
    refused(&world, &INGEST, 4, "is not a lake of flowgap: it holds notes.txt: name an empty folder");
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
    for arguments in [&INGEST[..], &["lake", "verify", "LAKE"], &["sql", "LAKE", "-c", "SELECT 1"]] {
        refused(
            &world,
            arguments,
            4,
            "is a lake of version 2, and this flowgap knows versions up to 1: use a newer flowgap",
        );
    }
    change_first_entry(&world, "flowgap.lake", "other.lake");
    refused(&world, &INGEST, 4, "it is a Delta table of another program");
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
        refused(&world, &INGEST, 4, &format!("flowgap lake verify {} SOURCE --rebuild-cursors", world.lake()));
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
fn a_file_is_no_lake() {
    let mut world = World::new(36);
    world.add(1, 0, 3);
    let file = world.path("notes.txt").display().to_string();
    std::fs::write(&file, "mine").expect("written");
    let says = format!("because {file} is a file: name a folder");
    for place in [file.clone(), format!("{file}/below")] {
        refused(&world, &["ingest", "LOGS", "--to", &place], 4, &says);
        refused(&world, &["lake", "status", &place], 4, &says);
    }
    place(Path::new(&world.lake()), "_delta_log", "mine");
    refused(&world, &INGEST, 4, "is not a lake of flowgap: it holds _delta_log: name an empty folder");
}

#[test]
#[cfg(unix)]
fn a_lake_is_no_source_and_is_in_none() {
    let mut world = World::new(37);
    world.add(1, 0, 3);
    world.ingest();
    let second = world.path("second").display().to_string();
    let says = "is a lake, and flow logs are expected: name the folder or container of the logs";
    refused(&world, &["ingest", "LAKE", "--to", &second], 4, says);
    refused(&world, &["ingest", "LOGS", "LAKE", "--to", &second], 4, says);
    refused(&world, &["lake", "verify", "LAKE", "LAKE"], 4, says);
    for place in [world.path("logs/lake"), world.path("logs/new/lake"), world.path("logs")] {
        refused(&world, &["ingest", "LOGS", "--to", &place.display().to_string()], 4, "which is never written");
    }
    std::os::unix::fs::symlink(world.logs(), world.path("link")).expect("a link");
    let linked = world.path("link/lake").display().to_string();
    refused(&world, &["ingest", "LOGS", "--to", &linked], 4, "which is never written");
    let kept = std::fs::read_dir(world.logs()).expect("a folder").count();
    assert_eq!(kept, 1, "nothing was written in the source");
}

#[test]
fn the_end_of_a_window_is_not_the_lake() {
    let world = World::new(38);
    let window = ["--from", "2026-05-04", "--to", "2026-05-05"];
    refused(&world, &[&INGEST[..], &window].concat(), 2, "write --until for the end of the window");
    refused(
        &world,
        &[&["ingest", "LOGS"], &window[..]].concat(),
        2,
        "--to 2026-05-05 is a time, and --to names the lake",
    );
}

#[test]
fn commands_in_messages_are_quoted_for_a_shell() {
    let mut world = World::new(39);
    world.add(1, 0, 3);
    let lake = world.path("my lake").display().to_string();
    refused(&world, &["lake", "status", &lake], 4, &format!("flowgap ingest SOURCE --to '{lake}' makes one"));
    world.done(&["ingest", "LOGS", "--to", &lake]);
    std::fs::remove_dir_all(world.path("my lake/_flowgap")).expect("removed");
    let says = format!("flowgap lake verify '{lake}' SOURCE --rebuild-cursors makes new ones from the table");
    refused(&world, &["lake", "status", &lake], 4, &says);
}
