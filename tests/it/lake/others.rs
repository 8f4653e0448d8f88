use super::*;
use crate::sql_cli::python;
use crate::support::binary::root;

fn other(arguments: &[&str]) {
    let script = root().join("tests/readers/lake.py");
    let output = Command::new(python()).arg(script).args(arguments).output().expect("python starts");
    assert!(output.status.success(), "{arguments:?}: {}{}", stdout(&output), stderr(&output));
}

#[test]
fn other_programs_read_the_same_rows() {
    let mut world = World::new(41);
    for hour in 0..12 {
        world.add(1, hour % 8, 12);
        world.add(2, hour % 8, 5);
        world.ingest();
    }
    world.rewrite(&World::name(1, 0));
    world.ingest();
    let outs = ["polars.parquet", "duckdb.parquet"].map(|name| world.path(name));
    let paths = outs.each_ref().map(|out| out.to_str().expect("UTF-8"));
    other(&["read", &world.lake(), paths[0], paths[1]]);
    for out in outs {
        let mut found = Rows::new();
        add_rows(std::fs::File::open(&out).expect("a file"), &mut found);
        assert_eq!(found, world.expected(), "{}", out.display());
    }
}

#[test]
fn a_lake_that_another_program_optimised_stays_valid() {
    let mut world = World::new(42);
    for hour in 0..6 {
        world.add(1, hour, 10);
        world.ingest();
    }
    other(&["optimize", &world.lake()]);
    world.check("optimised");
    let files = snapshot(&world.lake()).files.len();
    assert_eq!(files, 2, "one file a day");
    other(&["checkpoint", &world.lake()]);
    world.grow(&World::name(1, 0), 4);
    world.rewrite(&World::name(1, 1));
    world.shrink(&World::name(1, 5));
    assert!(world.ingest().contains("0 new, 1 grown, 2 rewritten, 3 unchanged"));
    world.check("changed");
    world.done(&["lake", "compact", "LAKE"]);
    world.done(&["lake", "verify", "LAKE", "LOGS"]);
    other(&["optimize", &world.lake()]);
    world.check("optimised again");
}

#[test]
fn rows_that_another_program_changed_are_read_again() {
    let mut world = World::new(43);
    world.add(1, 0, 10);
    world.add(1, 1, 10);
    world.ingest();
    // No count and no counter changes.
    other(&["update", &world.lake()]);
    let said = world.done(&["lake", "verify", "LAKE", "LOGS", "--rebuild-cursors"]);
    assert_eq!(said, "cursors of 2 blobs made again; the next ingest reads 2 of them again\n");
    assert!(world.ingest().contains("0 new, 0 grown, 2 rewritten"));
    world.check("read again");
    world.done(&["lake", "verify", "LAKE", "LOGS"]);
}

#[test]
fn a_table_that_only_grows_says_who_can_change_that() {
    let mut world = World::new(44);
    let name = world.add(1, 0, 10);
    world.ingest();
    other(&["append-only", &world.lake()]);
    world.grow(&name, 2);
    world.ingest();
    world.check("grown");
    world.rewrite(&name);
    for arguments in [&["ingest", "LOGS", "--to", "LAKE"][..], &["lake", "compact", "LAKE"], &DELETE_FIRST_DAY] {
        let output = world.run(arguments);
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {}", stderr(&output));
        let says = "because another program set delta.appendOnly: set it to false with that program";
        assert!(stderr(&output).contains(says), "{arguments:?}: {}", stderr(&output));
    }
}
