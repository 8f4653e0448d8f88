//! How a server starts, or does not: users, certificates, addresses.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::clients::python;
use super::raw::Raw;
use super::{ARCHIVE, Server};
use crate::hostile::certificates;
use crate::support::binary::{check_status, command, root, stderr};

fn add_user(users: &Path, name: &str, password: &str) {
    let mut adding = command(&["serve", "--users", users.to_str().expect("UTF-8"), "--add-user", name]);
    let mut adding = adding.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("flowgap starts");
    adding.stdin.take().expect("a pipe").write_all(format!("{password}\n").as_bytes()).expect("sent");
    let output = adding.wait_with_output().expect("an end");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!stderr(&output).contains(password));
}

#[test]
fn an_open_door_or_a_broken_lock_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let users = folder.path().join("users");
    add_user(&users, "ann", "secret");
    std::fs::write(path("bad-users"), "ann:secret\n").expect("written");
    std::fs::write(path("bad.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").expect("written");
    let (users, key, pem) = (path("users"), path("localhost.key"), path("localhost.pem"));
    let check = |arguments: &[&str], says: &str| {
        check_status(&[&["serve", ARCHIVE, "--listen"], arguments].concat(), 2, says);
    };
    check(&["0.0.0.0:0"], "is not a loopback address");
    check(&["0.0.0.0:0", "--users", &users], "add --users, --tls-cert and --tls-key");
    check(&["[::]:0", "--tls-cert", &pem, "--tls-key", &key], "is not a loopback address");
    let local = "127.0.0.1:0";
    check(&[local, "--tls-cert", &pem], "--tls-key");
    check(&[local, "--tls-cert", &path("bad.pem"), "--tls-key", &key], "bad.pem");
    check(&[local, "--tls-cert", &pem, "--tls-key", &pem], "no private key");
    check(&[local, "--tls-cert", &pem, "--tls-key", &path("ca.key")], "not usable with");
    check(&[local, "--tls-cert", &path("none.pem"), "--tls-key", &key], "none.pem");
    check(&[local, "--users", &path("bad-users")], "bad-users, line 1: write SCRAM-SHA-256");
    check(&[local, "--users", &path("none")], "cannot read");
    check(&["127.0.0.1:x"], "invalid");
    check_status(&["serve", "--users", &users, "--add-user", "a b"], 2, "a name has 1 to 63 bytes");
    check_status(&["serve", "nowhere", "--listen", local], 4, "does not exist");
}

#[test]
fn an_instance_of_the_job_is_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flowgap.toml").display().to_string();
    let text = format!(
        "schema = \"flowgap.config/1\"\nstate = \"{}\"\n[source.logs]\naddress = [\"{ARCHIVE}\"]\n[[instance]]\nname = \"one\"\n\
         source = \"logs\"\nsubnets = [\"10.20.1.0/24\"]\nwindow = \"36500d\"\n",
        folder.path().display()
    );
    std::fs::write(&path, text).expect("written");
    let server = Server::start(&["--config", &path, "--instance", "one"]);
    let subnet = Raw::connect(server.port).query("SELECT DISTINCT subnet FROM coverage").one().to_owned();
    assert_eq!(subnet, "10.20.1.0/24");
    check_status(&["serve", "--config", &path, "--instance", "two"], 2, "the configuration has one");
    check_status(
        &["serve", "--config", &path, "--instance", "one", "--subnet", "10.0.0.0/8"],
        2,
        "cannot be used with",
    );
}

#[test]
fn commands_of_the_page_are_valid() {
    let page = std::fs::read_to_string(root().join("docs/serve.md")).expect("a page");
    let commands = crate::docs::commands(&page);
    let served: Vec<&String> = commands.iter().filter(|command| command.starts_with("flowgap serve")).collect();
    assert!(served.len() >= 4, "{served:?}");
    for typed in served {
        let arguments: Vec<&str> = typed.split_whitespace().skip(1).chain(["--help"]).collect();
        let output = command(&arguments).output().expect("flowgap");
        assert!(output.status.success(), "{typed}: {}", stderr(&output));
    }
}

#[test]
fn users_need_their_password_and_encryption() {
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let users = folder.path().join("users");
    add_user(&users, "ann", "sëcret");
    add_user(&users, "bob", "old");
    let text = std::fs::read_to_string(&users).expect("text");
    assert!(text.starts_with("ann:SCRAM-SHA-256$4096:") && !text.contains("sëcret") && text.lines().count() == 2);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&users).expect("a file").permissions().mode() & 0o777, 0o600);
    }
    let (pem, key, listed) = (path("localhost.pem"), path("localhost.key"), path("users"));
    let server = Server::over_archive(&["--users", &listed, "--tls-cert", &pem, "--tls-key", &key]);
    let script = "import psycopg, sys
with psycopg.connect(sys.argv[1]) as c: print(c.execute('SELECT count(*) FROM flows').fetchone(), c.pgconn.ssl_in_use)";
    let connect = |user: &str, password: &str, more: &str| {
        let port = server.port;
        let dsn = format!("host=localhost hostaddr=127.0.0.1 port={port} user={user} password={password} {more}");
        Command::new(python()).args(["-c", script, &dsn]).output().expect("python")
    };
    let trusted = format!("sslmode=verify-full sslrootcert={}", path("ca.pem"));
    let works = |output: std::process::Output| {
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains("True"), "{output:?}");
    };
    let fails = |output: std::process::Output, words: &str| assert!(stderr(&output).contains(words), "{output:?}");
    works(connect("ann", "sëcret", &trusted));
    works(connect("bob", "old", "sslmode=require"));
    let wrong = |user: &str| format!("password authentication failed for user \"{user}\"");
    fails(connect("ann", "secret", &trusted), &wrong("ann"));
    fails(connect("eve", "sëcret", &trusted), &wrong("eve"));
    fails(connect("ann", "sëcret", "sslmode=disable"), "encrypted connections only");
    assert_eq!(server.metric("wrong_passwords_total"), 2.0);
    // A new password counts without a restart.
    add_user(&users, "bob", "new");
    works(connect("bob", "new", "sslmode=require"));
    fails(connect("bob", "old", "sslmode=require"), &wrong("bob"));
    assert!(Raw::with(server.port, &[("user", "ann")]).is_err());
}
