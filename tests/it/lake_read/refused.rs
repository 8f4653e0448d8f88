//! Lakes that cannot be read, and options that make no sense with one: a sentence each.

use std::fs;

use super::{APIM, Pair, text};
use crate::support::binary::{check_status, flowgap, stderr};

#[test]
fn a_lake_is_read_alone() {
    let pair = Pair::new(&[APIM]);
    let lake = pair.lake();
    check_status(&["analyze", lake, APIM], 4, "is a lake, which is read alone");
    check_status(&["analyze", APIM, lake], 4, "is a lake, which is read alone");
    check_status(&["inspect", lake, "--prefix", "a"], 4, "leave out --prefix");
    check_status(&["inspect", lake, "--mac", "00-0D-3A-FF-FF-FF"], 4, "no blob in");
    let plain = Pair::new(&["testdata/vnet-v4"]);
    check_status(&["inspect", plain.lake(), "--mac", "00-0D-3A-FF-FF-FF"], 4, "do not name their interface");
}

#[test]
fn what_is_no_lake_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let (other, lake) = (folder.path().join("other"), text(folder.path()));
    fs::create_dir_all(other.join("_delta_log")).expect("a folder");
    check_status(&["analyze", &text(&other)], 4, "there is no lake at");
    let log = "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n{\"metaData\":{\"id\":\"5fba94ed-9794-4965-ba6e-6ee3c0d22af9\",\"format\":{\"provider\":\"parquet\",\"options\":{}},\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[{\\\"name\\\":\\\"a\\\",\\\"type\\\":\\\"long\\\",\\\"nullable\\\":true,\\\"metadata\\\":{}}]}\",\"partitionColumns\":[],\"configuration\":{}}}\n";
    fs::write(other.join("_delta_log/00000000000000000000.json"), log).expect("a log entry");
    check_status(&["sql", &text(&other), "-c", "SELECT 1"], 4, "is not a lake of flowgap");
    // The log of a table is no flow log.
    let output = flowgap(&["inspect", &lake]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
}

#[test]
fn a_cursor_that_is_gone_is_named_with_the_remedy() {
    let pair = Pair::new(&["testdata/vnet-v4"]);
    let cursors = std::path::Path::new(pair.lake()).join("_flowgap/cursors");
    fs::remove_dir_all(cursors).expect("removed");
    check_status(&["analyze", pair.lake()], 4, "--rebuild-cursors");
}
