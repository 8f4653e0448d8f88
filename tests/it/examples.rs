//! The examples of the library, compiled and run as they are.

#[path = "../../examples/analyze.rs"]
mod analyze;
#[path = "../../examples/decode.rs"]
mod decode;
#[path = "../../examples/sql.rs"]
mod sql;

#[test]
fn the_examples_of_the_library_run() {
    decode::main().expect("a blob is decoded");
    analyze::main().expect("an archive is analyzed");
    sql::main().expect("a query is answered");
}
