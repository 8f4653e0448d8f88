//! The configuration: its messages, its schema, its secrets.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::support::binary::{check_status, flowgap, stdout};

const HEAD: &str = "schema = 'flowgap.config/1'\nstate = '/tmp/state'\n";
const SOURCE: &str = "[source.prod]\naddress = ['testdata/apim']\n";
const INSTANCE: &str = "[[instance]]\nname = 'a'\nsource = 'prod'\n";

/// A configuration in a file, checked with these variables.
fn check(text: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("c.toml");
    std::fs::write(&file, text).expect("written");
    let file = file.to_str().expect("UTF-8");
    let output = command(&["config", "check", file]).envs(variables.iter().copied()).output().expect("flowgap starts");
    (output.status.code(), stderr(&output).replace(file, "c.toml"))
}

#[test]
fn mistakes_are_named_with_their_place() {
    let whole = |keys: &str| format!("{HEAD}{SOURCE}{INSTANCE}{keys}");
    let cases = [
        (format!("{HEAD}{SOURCE}{INSTANCE}subnet = ['10.0.0.0/24']\n"), "c.toml:8:1: ", "did you mean `subnets`?"),
        (format!("{HEAD}service_tag = 'x'\n{SOURCE}{INSTANCE}"), "c.toml:3:1: ", "did you mean `service_tags`?"),
        (format!("{HEAD}[source.prod]\nadress = []\n{INSTANCE}"), "c.toml:4:1: ", "did you mean `address`?"),
        (whole("[[deliver]]\nkind = 'slack'\nulr = 'x'\n"), "c.toml:", "did you mean `url`?"),
        (whole("window = '24'\n"), "c.toml:8:10: ", "no time like 7d, 24h or 90m"),
        (whole("fail_on = 'hihg'\n"), "c.toml:8:11: ", "'hihg' is not one of info, low"),
        (whole("vnet_mode = 'extrenal'\n"), "c.toml:8:13: ", "external, internal"),
        (whole("subnets = ['10.20.1.0/33']\n"), "c.toml:8:11: ", "is not a CIDR block"),
        (whole("min_coverage = 2.0\n"), "c.toml:8:16: ", "a share from 0 to 1"),
        (whole("min_coverage = 'x'\n"), "c.toml:8:16: ", "invalid type"),
        (
            format!("{HEAD}{SOURCE}[[instance]]\nname = 'a b'\nsource = 'prod'\n"),
            "c.toml:6:8: ",
            "must be 1 to 64 letters",
        ),
        (
            format!("{HEAD}{SOURCE}[[instance]]\nname = 'a'\nsource = 'prd'\n"),
            "c.toml:7:10: ",
            "'prd' is not one of prod",
        ),
        (whole(INSTANCE), "c.toml:9:8: ", "two instances have the name a"),
        (format!("{HEAD}{SOURCE}"), "c.toml:", "missing field `instance`"),
        (format!("{HEAD}{SOURCE}instance = []\n"), "c.toml:", ""),
        (format!("schema = 'flowgap.config/2'\nstate = 'x'\n{SOURCE}{INSTANCE}"), "c.toml:1:10: ", "flowgap.config/1"),
        (format!("{HEAD}[source.prod]\naddress = []\n{INSTANCE}"), "c.toml:4:11: ", "source.prod has no address"),
        (whole("[[deliver]]\nkind = 'mail'\n"), "c.toml:9:8: ", "file, webhook, slack"),
        (whole("[[deliver]]\nkind = 'slack'\n"), "c.toml:8:1: ", "needs the key 'url'"),
        (
            whole("[[deliver]]\nkind = 'metrics'\npath = 'a.prom'\n[[deliver]]\nkind = 'metrics'\npath = 'b.prom'\n"),
            "c.toml:11:1: ",
            "two receivers have the name metrics",
        ),
        (
            whole("[[deliver]]\nkind = 'metrics'\npath = 'a.prom'\ninstances = ['b']\n"),
            "c.toml:11:13: ",
            "'b' is not one of a",
        ),
        (format!("{HEAD}{SOURCE}lake_auth = 'managed'\n{INSTANCE}"), "c.toml:5:13: ", "source.prod has no lake"),
        (format!("{HEAD}{SOURCE}{INSTANCE}window = 24h\n"), "c.toml:8:", ""),
        ("schema = 'flowgap.config/1'\nstate = 'x\n".to_owned(), "c.toml:2:", ""),
    ];
    for (text, place, says) in cases {
        let (status, said) = check(&text, &[]);
        assert!(status == Some(2) && said.contains(place) && said.contains(says), "{place} {says}: {said}\n{text}");
    }
    check_status(&["config", "check", "testdata/absent.toml"], 2, "testdata/absent.toml: ");
}

/// A value from elsewhere that does not fit, at each key that takes text.
#[test]
fn values_from_elsewhere_are_never_repeated() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("value");
    std::fs::write(&file, format!("{SECRET} value\n")).expect("written");
    let from_file = format!("file:{}", file.display());
    for value in ["env:FLOWGAP_TEST_VALUE", from_file.as_str()] {
        let whole = |keys: &str| format!("{HEAD}{SOURCE}{INSTANCE}{keys}");
        let texts = [
            format!("schema = '{value}'\nstate = 'x'\n{SOURCE}{INSTANCE}"),
            format!("{HEAD}{SOURCE}auth = '{value}'\n{INSTANCE}"),
            format!("{HEAD}{SOURCE}[[instance]]\nname = '{value}'\nsource = 'prod'\n"),
            format!("{HEAD}{SOURCE}[[instance]]\nname = 'a'\nsource = '{value}'\n"),
            whole(&format!("subnets = ['{value}']\n")),
            whole(&format!("vnet_mode = '{value}'\n")),
            whole(&format!("window = '{value}'\n")),
            whole(&format!("fail_on = '{value}'\n")),
            whole(&format!("strict = '{value}'\n")),
            whole(&format!("[[deliver]]\nkind = '{value}'\n")),
            whole(&format!("[[deliver]]\nkind = 'slack'\nurl = '{value}'\n")),
            whole(&format!(
                "[[deliver]]\nkind = 'slack'\nurl = 'https://x.example/y'\nlink = '{{{value}'\non = ['{value}']\n"
            )),
            whole(&format!("[[deliver]]\nkind = 'webhook'\nurl = 'https://x.example/y'\nsecrets = ['{value}']\n")),
            whole(&format!("[[deliver]]\nkind = 'file'\npath = '{value}'\n")),
            whole(&format!("[[deliver]]\nkind = 'file'\npath = 'a.json'\ninstances = ['{value}']\n")),
            whole(&format!("[[deliver]]\nkind = 'log-analytics'\nendpoint = '{value}'\ndcr = 'a'\nstream = 'b'\n")),
            whole(&format!(
                "[[deliver]]\nkind = 'log-analytics'\nendpoint = 'https://x.example'\ndcr = '{value}'\nstream = 'b'\n"
            )),
        ];
        for text in texts {
            let (status, said) = check(&text, &[("FLOWGAP_TEST_VALUE", "S3CR3T value")]);
            assert!(status == Some(2) && !said.contains(SECRET) && said.contains("c.toml:"), "{said}\n{text}");
        }
    }
    let (status, said) = check(&format!("{HEAD}{SOURCE}prefix = 'env:FLOWGAP_TEST_ABSENT'\n{INSTANCE}"), &[]);
    assert!(
        status == Some(2) && said.contains("c.toml:5:10: the environment variable FLOWGAP_TEST_ABSENT is not set"),
        "{said}"
    );
    let (status, said) = check(&format!("{HEAD}{SOURCE}prefix = 'file:testdata/absent'\n{INSTANCE}"), &[]);
    assert!(status == Some(2) && said.contains("c.toml:5:10: testdata/absent: "), "{said}");
}

#[test]
fn the_printed_configuration_hides_secrets_and_is_one() {
    let job = Job::over(&Log::vnet(), "");
    let file = job.path("url");
    std::fs::write(&file, format!("https://hooks.example/{SECRET}\n")).expect("written");
    let text = format!(
        "schema = 'flowgap.config/1'\nstate = 'https://examplestate.blob.core.windows.net/s/jobs?sig={SECRET}'\n\
         [source.prod]\naddress = ['https://examplelogs.blob.core.windows.net/c?sig={SECRET}', 'env:FLOWGAP_TEST_ADDRESS']\n\
         {INSTANCE}[[deliver]]\nkind = 'slack'\nurl = 'file:{}'\n\
         [[deliver]]\nkind = 'webhook'\nurl = 'https://hooks.example/{SECRET}'\n\
         secrets = ['whsec_UzNDUjNULVMzQ1IzVC1TM0NSM1Qta2V5']\n\
         [[deliver]]\nkind = 'file'\npath = 'https://examplelogs.blob.core.windows.net/r/a.json?sig={SECRET}'\n",
        file.display()
    );
    job.configure(&text);
    let address = format!("https://examplelogs.blob.core.windows.net/d?sig={SECRET}");
    let output =
        job.command(0, &["--print-config"]).env("FLOWGAP_TEST_ADDRESS", &address).output().expect("flowgap starts");
    let printed = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!printed.contains(SECRET) && !printed.contains("UzNDUjNU"), "{printed}");
    for kept in [
        "/s/jobs?***\"",
        "/c?***\"",
        "/d?***\"",
        "url = \"***\"",
        "secrets = [\"***\"]",
        "/r/a.json?***\"",
        "window = \"24h\"",
    ] {
        assert!(printed.contains(kept), "{kept}: {printed}");
    }
    // Without secrets, what is printed means the same.
    job.configure(&format!("{HEAD}{SOURCE}{INSTANCE}[[deliver]]\nkind = 'file'\npath = 'a.json'\n"));
    let once = stdout(&job.run_at(0, &["--print-config"]));
    job.configure(&once);
    assert_eq!(stdout(&job.run_at(0, &["--print-config"])), once);
    assert!(!job.path("state").exists());
}

#[test]
fn the_example_passes_and_has_every_key_of_an_instance() {
    let example = stdout(&flowgap(&["config", "example"]));
    let (status, said) = check(&example, &[]);
    assert_eq!((status, said.as_str()), (Some(0), "c.toml: 1 instances, 1 receivers\n"));
    // Its comments with keys pass too.
    let is_key = |line: &&str| line.strip_prefix("# ").is_some_and(|rest| rest.split(' ').nth(1) == Some("="));
    let all: String =
        example.lines().map(|line| if is_key(&line) { line[2..].to_owned() } else { line.to_owned() } + "\n").collect();
    assert_ne!(all, example);
    assert_eq!(check(&all, &[]).0, Some(0), "{all}");
    let keys = &schema_keys()["instance"];
    for key in keys {
        assert!(all.lines().any(|line| line.starts_with(&format!("{key} = "))), "{key}");
    }
}

/// Keys of each table in the JSON Schema.
fn schema_keys() -> BTreeMap<String, BTreeSet<String>> {
    let schema: Value = serde_json::from_str(&stdout(&flowgap(&["config", "schema"]))).expect("JSON");
    let keys = |table: &Value| table["properties"].as_object().expect("keys").keys().cloned().collect();
    let mut tables: BTreeMap<String, BTreeSet<String>> =
        schema["$defs"].as_object().expect("tables").iter().map(|(name, table)| (name.clone(), keys(table))).collect();
    tables.insert("".to_owned(), keys(&schema));
    tables
}

/// The parser lists its keys when it refuses one that is like none.
#[test]
fn the_schema_has_the_keys_of_the_parser() {
    let unknown = "q9 = 1\n";
    for (table, text) in [
        ("", format!("{unknown}{HEAD}{SOURCE}{INSTANCE}")),
        ("source", format!("{HEAD}{SOURCE}{unknown}{INSTANCE}")),
        ("instance", format!("{HEAD}{SOURCE}{INSTANCE}{unknown}")),
        ("receiver", format!("{HEAD}{SOURCE}{INSTANCE}[[deliver]]\nkind = 'file'\n{unknown}")),
    ] {
        let (_, said) = check(&text, &[]);
        let known = said.split_once("expected one of ").unwrap_or_else(|| panic!("{table}: {said}")).1;
        let known: BTreeSet<String> = known.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        assert_eq!(known, schema_keys()[table], "{table}");
    }
}
