use super::*;

fn line<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {text}")).trim()
}

#[test]
fn each_change_of_a_blob_is_followed() {
    let mut world = World::new(1);
    let names: Vec<String> = (0..6).map(|hour| world.add(1, hour, 30)).collect();
    assert_eq!(line(&world.ingest(), "blobs"), "6 new, 0 grown, 0 rewritten, 0 unchanged");
    world.check("new");
    let before = snapshot(&world.lake()).version;
    let again = world.ingest();
    assert_eq!(line(&again, "blobs"), "0 new, 0 grown, 0 rewritten, 6 unchanged");
    assert_eq!((line(&again, "read"), snapshot(&world.lake()).version), ("0 bytes", before));
    world.grow(&names[0], 1);
    world.grow(&names[1], 50);
    world.rewrite(&names[2]);
    world.shrink(&names[3]);
    world.add(2, 1, 3);
    world.remove(&names[4]);
    let said = world.ingest();
    assert_eq!(line(&said, "blobs"), "1 new, 2 grown, 2 rewritten, 1 unchanged");
    world.check("changed");
    let reread = world.done(&["ingest", "LOGS", "--to", "LAKE", "--reread"]);
    assert_eq!(line(&reread, "blobs"), "0 new, 0 grown, 6 rewritten, 0 unchanged");
    assert_eq!(line(&reread, "rows").split(' ').next(), line(&reread, "rows").split(' ').nth(2));
    world.check("read again");
}

#[test]
fn a_grown_blob_is_read_on_from_its_end() {
    let mut world = World::new(2);
    let name = world.add(1, 0, 2000);
    world.ingest();
    let size = |world: &World| std::fs::metadata(world.path("logs").join(&name)).expect("a file").len();
    for records in [1, 3, 40] {
        let before = size(&world);
        world.grow(&name, records);
        let said = world.ingest();
        assert_eq!(line(&said, "blobs"), "0 new, 1 grown, 0 rewritten, 0 unchanged");
        let read = &entries(&world.lake())[&world.path("logs").join(&name).display().to_string()];
        assert!(read.end > before, "{} {before}", read.end);
        world.check("grown");
    }
}

#[test]
fn damage_and_its_repair_are_followed() {
    let mut world = World::new(3);
    let name = world.add(1, 0, 20);
    let whole = std::fs::read(world.path("logs").join(&name)).expect("a file");
    // A copy that is under way ends in a record.
    place(&world.path("logs"), &name, &whole[..whole.len() / 2]);
    let output = world.run(&["ingest", "LOGS", "--to", "LAKE"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stdout(&output).contains("problems   1, of which 1 record cannot"), "{}", stdout(&output));
    let known = entries(&world.lake());
    let entry = known.values().next().expect("an entry");
    assert!(!entry.can_grow && entry.problems.len() == 1, "{entry:?}");
    place(&world.path("logs"), &name, &whole);
    assert_eq!(line(&world.ingest(), "blobs"), "0 new, 0 grown, 1 rewritten, 0 unchanged");
    world.check("repaired");
    // Damage inside the blob does not hinder its growth.
    world.blobs.get_mut(&name).expect("a blob")[3] = "{\"time\":7}".to_owned();
    world.write(&name);
    assert_eq!(world.run(&["ingest", "LOGS", "--to", "LAKE"]).status.code(), Some(3));
    world.grow(&name, 2);
    assert_eq!(line(&world.ingest(), "blobs"), "0 new, 1 grown, 0 rewritten, 0 unchanged");
    assert_eq!(rows(&world.lake()), world.expected());
}

#[test]
fn a_blob_has_one_name_however_the_source_is_written() {
    let mut world = World::new(4);
    world.add(1, 0, 5);
    world.ingest();
    let relative = command(&["ingest", ".", "--to", &world.lake()]).current_dir(world.path("logs")).output();
    let said = stdout(&relative.expect("flowgap starts"));
    assert_eq!(line(&said, "blobs"), "0 new, 0 grown, 0 rewritten, 1 unchanged");
    let twice = world.done(&["ingest", "LOGS", "LOGS", "--to", "LAKE", "--reread"]);
    assert_eq!(line(&twice, "blobs"), "0 new, 0 grown, 2 rewritten, 0 unchanged");
    world.check("twice");
}

#[test]
fn a_window_selects_blobs_and_not_rows() {
    let mut world = World::new(5);
    (0..5).for_each(|hour| _ = world.add(1, hour, 4));
    let window = ["--from", "2026-05-04T22:00:00Z"];
    let said = world.done(&[&["ingest", "LOGS", "--to", "LAKE"], &window[..]].concat());
    assert_eq!(line(&said, "blobs"), "3 new, 0 grown, 0 rewritten, 0 unchanged");
    world.ingest();
    world.check("the rest");
}

#[test]
fn a_blob_that_cannot_be_read_to_its_end_keeps_its_rows() {
    let mut world = World::new(6);
    let names: Vec<String> = (0..3).map(|hour| world.add(1, hour, 600)).collect();
    world.ingest();
    let (before, text) = (rows(&world.lake()), std::fs::read(world.path("logs").join(&names[1])).expect("a file"));
    // One blob is half of a compressed file now, and another one grew.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, &text).expect("packed");
    let packed = packed.finish().expect("packed");
    place(&world.path("logs"), &names[1], &packed[..packed.len() / 2]);
    world.grow(&names[0], 1);
    let output = world.run(&["ingest", "LOGS", "--to", "LAKE"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stdout(&output).contains("blobs      0 new, 1 grown, 0 rewritten, 1 unchanged"), "{}", stdout(&output));
    assert!(stdout(&output).contains("not read   1 blob: "), "{}", stdout(&output));
    assert!(stderr(&output).contains(&names[1]), "{}", stderr(&output));
    let after = rows(&world.lake());
    assert!(before.keys().all(|row| after.contains_key(row)));
    world.done(&["lake", "verify", "LAKE"]);
    place(&world.path("logs"), &names[1], &packed);
    assert!(world.ingest().contains("0 new, 0 grown, 1 rewritten, 2 unchanged"));
    assert_eq!(rows(&world.lake()), world.expected());
}

#[test]
fn members_of_archives_are_blobs() {
    let mut world = World::new(7);
    world.add(1, 0, 5);
    world.add(1, 1, 5);
    let pack = |world: &World| {
        let archive = world.path("logs.tar");
        let output = Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(world.path("logs")).arg(".").output();
        assert!(output.expect("tar starts").status.success());
        archive.display().to_string()
    };
    let archive = pack(&world);
    let ingest = |world: &World| world.done(&["ingest", &archive, "--to", "LAKE"]);
    assert!(ingest(&world).contains("2 new, 0 grown, 0 rewritten, 0 unchanged"));
    assert!(ingest(&world).contains("0 new, 0 grown, 0 rewritten, 2 unchanged"));
    world.add(1, 2, 5);
    world.grow(&World::name(1, 0), 2);
    pack(&world);
    assert!(ingest(&world).contains("1 new, 0 grown, 2 rewritten, 0 unchanged"));
    world.done(&["lake", "verify", "LAKE", &archive]);
    assert_eq!(rows(&world.lake()).values().sum::<u64>(), world.expected().values().sum::<u64>());
}
