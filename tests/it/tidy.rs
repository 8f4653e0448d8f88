//! Rules of the house, read off the files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::binary::root;

/// Which of our modules each may import.
const LAYERS: [(&str, &[&str]); 27] = [
    ("names", &[]),
    ("remedy", &[]),
    ("time", &[]),
    ("flow", &["names"]),
    ("net", &[]),
    ("schema", &["flow"]),
    ("display", &[]),
    ("decode", &["flow", "net", "schema", "time"]),
    ("source", &["names", "remedy", "time"]),
    ("catalog", &["flow", "names", "net", "time"]),
    ("policy", &["catalog", "flow", "names", "net"]),
    ("platform", &["catalog", "names", "net", "policy", "time"]),
    ("generate", &["catalog", "flow", "names", "net", "time"]),
    ("queries", &[]),
    ("lake", &["decode", "flow", "remedy", "schema", "source", "time"]),
    (
        "engine",
        &[
            "catalog", "decode", "display", "flow", "lake", "names", "net", "queries", "remedy", "schema", "source",
            "time",
        ],
    ),
    ("findings", &["catalog", "engine", "flow", "names", "net", "platform", "policy", "queries", "remedy", "time"]),
    ("inspection", &["catalog", "engine", "findings", "net", "queries", "remedy", "source", "time"]),
    ("report", &["catalog", "display", "findings", "flow", "inspection", "names", "policy", "remedy", "time"]),
    ("options", &["catalog", "engine", "findings", "names", "net", "platform", "policy", "remedy", "source", "time"]),
    ("ingest", &["decode", "engine", "lake", "schema", "source", "time"]),
    ("answer", &["engine", "report"]),
    ("shell", &["answer", "engine", "queries", "remedy", "report"]),
    (
        "job",
        &[
            "answer", "catalog", "engine", "findings", "ingest", "lake", "names", "net", "options", "queries",
            "report", "source", "time",
        ],
    ),
    ("server", &["engine", "findings", "queries", "time"]),
    ("cluster", &["engine", "report", "source"]),
    (
        "cli",
        &[
            "answer",
            "catalog",
            "cluster",
            "decode",
            "display",
            "engine",
            "findings",
            "flow",
            "generate",
            "ingest",
            "inspection",
            "job",
            "lake",
            "names",
            "net",
            "options",
            "platform",
            "policy",
            "queries",
            "report",
            "server",
            "shell",
            "source",
            "time",
        ],
    ),
];

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()) {
        if entry.is_dir() {
            found.extend(files(&entry, ending));
        } else if entry.extension().is_some_and(|e| e == ending) {
            found.push(entry);
        }
    }
    found.sort();
    found
}

/// Each source file with its path below `src`, without its unit tests.
pub fn sources() -> Vec<(String, String)> {
    let src = root().join("src");
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("text");
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned();
        (path.strip_prefix(&src).expect("below").to_str().expect("UTF-8").to_owned(), code)
    };
    files(&src, "rs").into_iter().map(read).collect()
}

#[test]
fn only_the_command_line_and_one_file_spell_options() {
    for (path, code) in sources().iter().filter(|(path, _)| !path.starts_with("cli/") && path != "remedy.rs") {
        for (nr, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for option in flowgap::remedy::Remedy::ALL {
                let spelled = line.match_indices(option.flag()).any(|(at, flag)| {
                    !line[at + flag.len()..].starts_with(|next: char| next.is_ascii_alphanumeric() || next == '-')
                });
                assert!(!spelled, "{path}:{} spells {option}: name it by Remedy", nr + 1);
            }
        }
    }
}

#[test]
fn modules_import_only_from_below() {
    let layers: BTreeMap<&str, &[&str]> = LAYERS.into_iter().collect();
    for (path, code) in sources().iter().filter(|(path, _)| path != "lib.rs" && path != "main.rs") {
        let module = path.split(['/', '.']).next().unwrap_or_default();
        let allowed = layers.get(module).unwrap_or_else(|| panic!("{module} is not in the table of layers"));
        for import in code.split("crate::").skip(1) {
            let name: String = import.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            assert!(name == module || allowed.contains(&name.as_str()), "{path} imports {name}");
        }
    }
}

#[test]
fn each_layer_keeps_to_what_it_knows() {
    let unknown = [
        ("decode", vec!["async ", "object_store", "datafusion", "std::fs", "std::path"]),
        ("source", vec!["datafusion", "arrow"]),
        ("catalog", vec!["datafusion", "arrow", "object_store"]),
        ("policy", vec!["datafusion", "arrow", "object_store", "clap"]),
        ("platform", vec!["datafusion", "arrow", "object_store", "clap"]),
        ("generate", vec!["datafusion", "arrow", "object_store", "clap", "async "]),
        ("names", vec!["datafusion", "arrow", "std::fs"]),
        ("time", vec!["datafusion", "arrow", "std::fs"]),
        ("schema", vec!["datafusion", "builder"]),
        ("findings", vec!["object_store", "clap"]),
        ("inspection", vec!["object_store", "clap", "datafusion"]),
        ("report", vec!["object_store", "datafusion", "clap"]),
        ("shell", vec!["object_store", "datafusion", "clap"]),
        ("display", vec!["datafusion", "arrow"]),
        ("lake", vec!["datafusion", "clap"]),
        ("ingest", vec!["datafusion", "clap", "SELECT"]),
        ("job", vec!["datafusion", "clap"]),
        ("server", vec!["object_store", "clap"]),
        ("cluster", vec!["clap", "std::env"]),
        ("cli", vec!["datafusion"]),
    ];
    for (path, code) in sources() {
        let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for (module, words) in &unknown {
            if path.split(['/', '.']).next() == Some(module) {
                for word in words {
                    assert!(!code.contains(word), "{path} knows {word}");
                }
            }
        }
        // Only one room of the server knows plans; the others, messages alone.
        if path.starts_with("server/") && !path.starts_with("server/pg/") {
            assert!(!code.contains("datafusion::") && !code.contains("pg_catalog::"), "{path} knows datafusion");
        }
        // Only the cluster knows Ballista; the engine's fragments travel with any.
        assert!(!code.contains("ballista") || path.starts_with("cluster/"), "{path} knows Ballista");
        // What a macro cannot write, it panics on; lints forbid them.
        assert!(!code.contains("io::stderr().write") || path == "report/sink.rs", "{path} writes to stderr by itself");
        // Formatting with a width that is a value panics beyond 65,535.
        assert!(!code.contains("$}"), "{path} formats with a width that is a value");
        assert!(!code.contains("unsafe ") || path.starts_with("decode/simd/"), "{path} is unsafe");
    }
}

#[test]
fn files_stay_readable() {
    for (path, code) in sources() {
        assert!(code.lines().count() <= 700, "{path} has {} lines", code.lines().count());
    }
}

#[test]
fn every_query_says_what_it_is_and_is_embedded() {
    let named = flowgap::queries::shipped().expect("headers");
    let mut embedded: BTreeMap<&str, &str> = flowgap::queries::ALL.iter().map(|q| (q.id, q.sql)).collect();
    embedded.extend(named.iter().map(|query| (query.id.as_str(), query.sql.as_ref())));
    let queries = files(&root().join("queries"), "sql");
    assert_eq!(queries.len(), embedded.len());
    for path in queries {
        let sql = std::fs::read_to_string(&path).expect("text");
        let name = path.file_stem().and_then(|s| s.to_str()).expect("UTF-8");
        assert!(sql.starts_with(&format!("-- id: {name}\n")), "{name}: its id");
        for head in ["title", "params", "columns", "order"] {
            assert!(sql.contains(&format!("\n-- {head}: ")), "{name}: no {head}");
        }
        assert_eq!(embedded.get(name), Some(&sql.as_str()), "{name}");
        let knows_versions = sql.contains("log_kind") || sql.contains("log_version");
        assert!(
            !knows_versions || ["flow_groups", "flow_pass", "quality", "scoped_groups"].contains(&name),
            "{name} asks for a version"
        );
    }
}

#[test]
fn the_shipped_catalog_is_the_given_one() {
    let given = root().join("../shared/data/requirements.csv");
    match std::fs::read(&given) {
        Ok(bytes) => {
            let shipped = std::fs::read(root().join("src/catalog/requirements.csv")).expect("shipped");
            assert!(bytes == shipped, "src/catalog/requirements.csv differs from {}", given.display());
        }
        Err(error) => println!("not compared: {}: {error}", given.display()),
    }
}

#[test]
fn shared_crates_come_in_one_version() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("a lock file");
    for name in ["arrow", "datafusion", "object_store", "parquet"] {
        assert_eq!(lock.matches(&format!("name = \"{name}\"\n")).count(), 1, "{name}");
    }
}

#[test]
fn no_file_names_a_registry_host() {
    let tracked = Command::new("git").current_dir(root()).arg("ls-files").output().expect("git");
    let tracked = String::from_utf8(tracked.stdout).expect("UTF-8");
    assert!(tracked.lines().count() > 50, "git lists the files");
    let hosts =
        ["crates", "npmjs", "pypi", "pythonhosted"].map(|name| [".io", ".org"].map(|end| format!("{name}{end}")));
    for path in tracked.lines() {
        let Ok(text) = std::fs::read_to_string(root().join(path)) else { continue };
        // What cargo itself writes into its lock file.
        let text = text.replace("registry+https://github.com/rust-lang/crates.io-index", "");
        for host in hosts.iter().flatten() {
            assert!(!text.contains(host), "{path} names {host}");
        }
    }
}
