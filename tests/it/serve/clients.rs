//! Real clients.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{ARCHIVE, Server};
use crate::support::binary::{flowgap, root, stderr, stdout};

/// Python with the clients, in an environment of its own.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| crate::sql_cli::python_with("serve-venv", &root().join("tests/serve/requirements.txt")))
}

/// The folder of the client of node, with its packages.
fn node() -> PathBuf {
    let folder = root().join("tests/serve");
    if !folder.join("node_modules/pg").exists() {
        run(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"]).arg(&folder));
    }
    folder
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}{}", stdout(&output), stderr(&output));
    stdout(&output)
}

fn count(condition: &str) -> String {
    let query = format!("SELECT count(*) AS n FROM flows WHERE {condition}");
    let output = flowgap(&["sql", ARCHIVE, "-c", &query, "--format", "csv"]);
    stdout(&output).lines().nth(1).expect("a row").trim().to_owned()
}

#[test]
fn python_clients_get_every_type_and_error() {
    let server = Server::over_archive(&["--subnet", "10.20.1.0/24"]);
    let (flows, denied) = (count("true"), count("decision = 'deny'"));
    let address = format!("ann@127.0.0.1:{}/flowgap", server.port);
    let plain = format!("postgresql://{address}");
    for (script, arguments) in [
        ("psycopg_client.py", vec![&plain, &flows, &denied]),
        ("asyncpg_client.py", vec![&plain, &flows]),
        ("duckdb_client.py", vec![&plain]),
        ("sqlalchemy_client.py", vec![&format!("postgresql+psycopg://{address}"), &flows]),
    ] {
        run(Command::new(python()).arg(root().join("tests/serve").join(script)).args(arguments));
    }
    server.until("sessions", 0.0);
    server.until("reserved_bytes", 0.0);
}

#[test]
fn node_gets_its_types_and_errors() {
    let server = Server::over_archive(&[]);
    let mut client = Command::new("node");
    client.current_dir(node()).args(["node_client.js", &server.port.to_string(), &count("true")]);
    run(&mut client);
}

/// Runs only where psql is installed.
#[test]
fn psql_describes_the_tables() {
    if Command::new("psql").arg("--version").output().is_err() {
        println!("not run: psql is not installed");
        return;
    }
    let server = Server::over_archive(&[]);
    let port = server.port.to_string();
    let psql = |command: &str| {
        let arguments = ["-X", "-h", "127.0.0.1", "-p", &port, "-U", "ann", "-d", "flowgap", "-c", command];
        Command::new("psql").args(arguments).env_remove("PGPASSWORD").output().expect("psql")
    };
    for (command, words) in [
        ("\\d", "| findings "),
        ("\\dt", " flows "),
        ("\\dt+", " flows "),
        ("\\dv+ query.*", " Periods in which an interface logged nothing"),
        ("\\dn", " query "),
        ("\\dn+", " query "),
        ("\\l", " flowgap "),
        ("\\l+", " flowgap "),
        ("\\du", "List of roles"),
        ("\\dT", "List of data types"),
        ("\\dT+", "List of data types"),
        ("\\dp", " flows "),
        ("\\ddp", "Default access privileges"),
        ("\\d flows", " dst_port         | integer "),
        ("\\d+ flows", " src_ip           | text "),
        ("\\d findings", " first_denied "),
        ("\\d query.top_talkers", " bytes_out "),
        ("\\df", " in_service_tag          | boolean "),
        ("\\df+ top_talkers", "limit bigint DEFAULT 20"),
        ("\\conninfo", "flowgap"),
        ("SELECT count(*) FROM query.top_talkers", "(1 row)"),
        ("SELECT * FROM top_talkers(1)", "(1 row)"),
        ("SELECT status FROM analysis", "(1 row)"),
        (
            "SELECT current_user, session_user, current_setting('server_version_num')",
            " ann          | ann          | 160006",
        ),
        ("BEGIN; SELECT 1; COMMIT", "COMMIT"),
        ("SHOW server_version", "16.6 (flowgap"),
        ("EXPLAIN SELECT 1", "logical_plan"),
    ] {
        let output = psql(command);
        assert!(output.status.success() && stdout(&output).contains(words), "{command}: {output:?}");
        assert_eq!(stderr(&output), "", "{command}");
    }
    assert!(psql("\\drds").status.success());
    for command in ["\\copy flows TO STDOUT", "COPY flows FROM '/etc/passwd'", "DROP TABLE flows"] {
        let output = psql(command);
        assert!(stderr(&output).contains("is refused, because flowgap only reads"), "{command}: {output:?}");
    }
}
