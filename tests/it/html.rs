//! The web page: its structure, its policy, its size, and what a browser makes of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flowgap::findings::Analysis;
use flowgap::report::{Document, Format, Style, report};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::support::binary::{check_golden, flowgap, root, stderr, stdout};

/// Names that act in a page which does not escape them.
const HOSTILE: [&str; 6] = [
    "</script><img src=x onerror=\"evil=1\">",
    "</style></pre></textarea><script>evil=1</script>",
    "\" onfocus=\"evil=1\" autofocus=\"",
    "' style='position:fixed",
    "javascript:evil=1//https://evil.example/?&amp;{{1+1}}<!--",
    "a\u{202e}b\u{0}\u{1b}[31m\u{2028}]]>\u{5e9}\u{5dc}\u{5d5}\u{5dd}",
];

fn golden() -> Value {
    let golden = std::fs::read(root().join("tests/golden/apim.json")).expect("a golden");
    serde_json::from_slice(&golden).expect("JSON")
}

fn page(analysis: &Value) -> String {
    let analysis: Analysis = serde_json::from_value(analysis.clone()).expect("an analysis");
    let style = Style::PLAIN;
    let mut out = Vec::new();
    report(Format::Html, style).write(&Document::new(&analysis), &mut out).expect("written");
    String::from_utf8(out).expect("UTF-8")
}

/// The golden with a hundred findings, each of another rule, refused in every hour of a week.
fn hundred() -> Value {
    let mut analysis = golden();
    let first = analysis["findings"][0].clone();
    let cause = analysis["causes"][0].clone();
    let hours = (0..168).map(|hour| {
        json!({"hour": format!("2026-05-{:02}T{:02}:00:00.000Z", 4 + hour / 24, hour % 24), "denied_tuples": 1000 + hour})
    });
    let hours: Vec<Value> = hours.collect();
    let of = |nr: usize, mut value: Value| {
        value["rule"] = json!(format!("UserRule_deny-all-outbound-{nr}"));
        value["rule_name"] = json!(format!("deny-all-outbound-{nr}"));
        value
    };
    let findings = (0..100).map(|nr| {
        let mut finding = of(nr, first.clone());
        finding["rank"] = json!(nr + 1);
        finding["id"] = json!(format!("F-{nr:08x}"));
        finding["fingerprint"] = json!(format!("{nr:016x}"));
        finding["requirement"] = json!(format!("APIM-OUT-SQL-{nr}"));
        finding["hours"] = json!(hours);
        finding
    });
    analysis["findings"] = findings.collect();
    let causes = (0..100).map(|nr| {
        let mut cause = of(nr, cause.clone());
        cause["number"] = json!(nr + 1);
        cause["findings"] = json!([format!("F-{nr:08x}")]);
        cause
    });
    analysis["causes"] = causes.collect();
    analysis["input"]["last_flow"] = json!("2026-05-10T23:59:59.000Z");
    analysis
}

/// The golden with hostile names wherever a log has names.
fn hostile() -> Value {
    fn spoil(value: &mut Value, key: &str, next: &mut usize) {
        const NAMES: [&str; 22] = [
            "acl",
            "acl_name",
            "rule",
            "rule_name",
            "subnet",
            "purpose",
            "requirement",
            "effect",
            "explanation",
            "hint",
            "note",
            "source",
            "destination",
            "ip",
            "service_tag",
            "message",
            "reason",
            "blob",
            "remote",
            "edition",
            "cloud",
            "flowgap_version",
        ];
        match value {
            Value::String(text) if NAMES.contains(&key) => {
                *text = format!("{text} {}", HOSTILE[*next % HOSTILE.len()]);
                *next += 1;
            }
            Value::Array(items) => items.iter_mut().for_each(|item| spoil(item, key, next)),
            Value::Object(keys) => keys.iter_mut().for_each(|(key, item)| spoil(item, key, next)),
            _ => {}
        }
    }
    let mut analysis = golden();
    analysis["input"]["problem_count"] = json!(1);
    analysis["input"]["problems"] = json!([{"blob": "x", "offset": 0, "record": 0, "reason": "y"}]);
    analysis["findings"][0]["hint"] = json!("z");
    analysis["scope"]["subnets"] = json!(HOSTILE);
    spoil(&mut analysis, "", &mut 0);
    analysis
}

/// An analysis without any flow, which shows the subnets that there are.
fn empty() -> Value {
    let mut analysis = golden();
    for list in ["findings", "causes", "coverage", "notices"] {
        analysis[list] = json!([]);
    }
    analysis["input"]["tuples_in_scope"] = json!(0);
    analysis["input"]["first_flow"] = json!(null);
    analysis["input"]["last_flow"] = json!(null);
    analysis["status"] = json!({"word": "COULD NOT TELL", "exit": 3, "reasons": ["no flow of 10.99.0.0/24 in what was read"],
        "partial": true, "fail_on": "high", "min_coverage": 0.5});
    analysis["subnets_seen"] = json!([{"cidr": "10.20.1.0/24", "machines": 2, "flows": 9546, "looks_like_apim": true,
        "why": "probed on 6390"}]);
    analysis
}

/// A start tag of a page: its name and attributes.
struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The start tags of a page. Ours have no `<` in text and quote every value.
fn tags(page: &str) -> Vec<Tag> {
    let (head, body) = page.split_once("<style>").expect("a style sheet");
    let body = body.split_once("</style>").expect("its end").1;
    let body = body.split_once("<script>").expect("a script").0;
    let starts = [head, body].into_iter().flat_map(|part| part.split('<').skip(1));
    let starts = starts.filter(|tag| !tag.starts_with(['/', '!']));
    starts
        .map(|tag| {
            let tag = tag.split_once('>').expect("an end").0.trim_end_matches('/');
            let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
            let mut attributes = Vec::new();
            while !rest.trim().is_empty() {
                let end = rest.find(['=', ' ']).unwrap_or(rest.len());
                let (key, after) = rest.split_at(end);
                let (value, after) = match after.strip_prefix("=\"") {
                    Some(quoted) => quoted.split_once('"').expect("a quote"),
                    None => ("", after),
                };
                attributes.push((key.to_owned(), value.to_owned()));
                rest = after.trim_start();
            }
            Tag { name: name.to_owned(), attributes }
        })
        .collect()
}

fn check_structure(page: &str) {
    let tags = tags(page);
    let mut ids = BTreeSet::new();
    for tag in &tags {
        for (name, value) in &tag.attributes {
            assert!(!name.starts_with("on") && name != "style", "<{} {name}={value}>", tag.name);
            let is_known = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            assert!(is_known, "<{} {name}={value}>", tag.name);
        }
        assert!(!["img", "iframe", "form", "object", "base", "script"].contains(&tag.name.as_str()), "<{}>", tag.name);
        if let Some(id) = tag.get("id") {
            assert!(ids.insert(id), "the id {id} is there twice");
        }
        if tag.name == "th" {
            assert!(tag.get("scope").is_some(), "a heading of a table has a scope");
        }
    }
    for tag in &tags {
        let targets = [tag.get("href"), tag.get("data-copy"), tag.get("aria-labelledby")];
        for target in targets.into_iter().flatten().filter(|target| *target != "data:,") {
            assert!(ids.contains(target.trim_start_matches('#')), "nothing has the id {target}");
        }
    }
    let headings = tags.iter().filter_map(|tag| tag.name.strip_prefix('h')?.parse::<u32>().ok());
    let headings: Vec<u32> = headings.collect();
    assert_eq!(headings.first(), Some(&1));
    assert_eq!(headings.iter().filter(|level| **level == 1).count(), 1);
    assert!(headings.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{headings:?}");
    for (around, within) in [("table", "caption"), ("figure", "figcaption"), ("details", "summary")] {
        let count = |name: &str| tags.iter().filter(|tag| tag.name == name).count();
        assert_eq!(count(around), count(within), "each {around} has a {within}");
    }
    let drawings = tags.windows(3).filter(|tags| tags[0].name == "svg" && tags[0].get("role") == Some("img"));
    for drawing in drawings {
        assert_eq!((drawing[1].name.as_str(), drawing[2].name.as_str()), ("title", "desc"));
    }
    let body = page.split_once("</style>").expect("a style sheet").1.split_once("<script>").expect("a script").0;
    assert!(!body.contains("{}"), "a template has its values");
}

/// What Chromium sees of each page.
fn seen(pages: &[&str]) -> (TempDir, Vec<Value>) {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |(nr, page): (usize, &&str)| {
        let path = folder.path().join(format!("{nr}.html"));
        std::fs::write(&path, page).expect("written");
        path
    };
    let files: Vec<PathBuf> = pages.iter().enumerate().map(write).collect();
    let output = Command::new("node")
        .arg(root().join("tests/browser/check.mjs"))
        .args(&files)
        // The browser of the npm package is unpacked here, and profiles are kept here.
        .env("TMPDIR", folder.path())
        .output()
        .expect("node runs");
    assert!(output.status.success(), "{}", stderr(&output));
    let printed = stdout(&output);
    let seen: Value = serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{e}: {printed}"));
    println!("{}", seen["browser"]);
    assert_eq!(seen["stray"], json!([]), "no request but those of the pages reaches the server");
    (folder, seen["pages"].as_array().expect("a list").clone())
}

#[test]
fn the_page_of_the_planted_archive_equals_its_golden() {
    let page = page(&golden());
    check_golden("apim.html", &page);
    check_structure(&page);
    for words in
        ["BLOCKED", "2 of 11 things", "Allow-APIM-OUT-SQL", "699", "9,546", "2026-05-04T06:04:26.095Z", "change 412"]
    {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn the_policy_allows_the_style_sheet_and_the_script_alone() {
    let page = page(&golden());
    let between =
        |start: &str, end: &str| page.split_once(start).expect("a start").1.split_once(end).expect("an end").0;
    let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
    let (style, script) = (hash(between("<style>", "</style>")), hash(between("<script>", "</script>")));
    let policy = between("Content-Security-Policy\" content=\"", "\"").replace("&apos;", "'");
    assert_eq!(
        policy,
        format!(
            "default-src 'none'; style-src {style}; script-src {script}; img-src data:; base-uri 'none'; form-action 'none'"
        )
    );
    for file in ["page.css", "page.js"] {
        let text = std::fs::read_to_string(root().join("src/report/html").join(file)).expect("a file");
        for word in ["url(", "@import", "http:", "https:", "innerHTML", "eval(", "fetch(", "</", "\r"] {
            assert!(!text.contains(word), "{file} has {word}");
        }
    }
}

#[test]
fn any_analysis_gives_a_well_formed_page() {
    for analysis in [hostile(), empty(), hundred()] {
        check_structure(&page(&analysis));
    }
    let mut odd = golden();
    odd["input"]["first_flow"] = json!("-9000-01-01T00:00:00.000Z");
    odd["input"]["last_flow"] = json!("+9999-01-01T00:00:00.000Z");
    odd["findings"][1]["id"] = odd["findings"][0]["id"].clone();
    odd["causes"][1]["number"] = json!(1);
    check_structure(&page(&odd));
    odd["input"]["last_flow"] = json!("1970-01-01T00:00:00.000Z");
    odd["input"]["first_flow"] = json!("2026-01-01T00:00:00.000Z");
    odd["findings"] = json!([]);
    check_structure(&page(&odd));
    let archives = ["testdata/broken", "testdata/nsg-v2", "testdata/vnet-v4", "testdata/shapes"];
    for archive in archives {
        let output = flowgap(&["analyze", archive, "--format", "html"]);
        check_structure(&stdout(&output));
    }
}

#[test]
fn a_hundred_findings_take_less_than_500_kilobytes() {
    let analysis = hundred();
    let start = Instant::now();
    let written = page(&analysis);
    println!("{} bytes in {:?}, with the reading of the JSON", written.len(), start.elapsed());
    assert!(written.len() < 500_000, "{} bytes", written.len());
    assert_eq!(written.matches("<article class=\"finding\"").count(), 100);
    assert!(page(&analysis) == written, "equal input gives equal bytes");
    let mut one = analysis.clone();
    one["causes"][0]["findings"] =
        analysis["findings"].as_array().expect("a list").iter().map(|f| f["id"].clone()).collect();
    let written = page(&one);
    check_structure(&written);
    assert!(written.len() < 500_000 && written.contains("and 98 other findings"), "{}", written.len());
    let mut more = analysis;
    let last = more["findings"][99].clone();
    more["findings"].as_array_mut().expect("a list").extend(vec![last; 900]);
    let written = page(&more);
    assert!(written.len() < 500_000 && written.contains("900 more findings not shown"), "{}", written.len());
}

#[test]
fn a_browser_shows_the_whole_page_and_runs_nothing_foreign() {
    let pages = [golden(), hostile(), empty(), hundred()].map(|analysis| page(&analysis));
    let (_folder, seen) = seen(&pages.each_ref().map(String::as_str));
    for (nr, page) in seen.iter().enumerate() {
        for list in ["requests", "dialogs", "console"] {
            assert_eq!(page[list], json!([]), "page {nr}: {list}");
        }
        assert_eq!(page["acted"], json!(false), "page {nr}: foreign text ran");
        assert_eq!(page["painted"], json!(true), "page {nr}: under a strict policy");
        for scheme in ["light", "dark"] {
            assert_eq!(page["violations"][scheme], json!([]), "page {nr}: {scheme}");
        }
        assert!(page["rules"].as_u64().is_some_and(|rules| rules > 10), "axe checked {}", page["rules"]);
        for (width, over) in page["overflow"].as_object().expect("widths") {
            assert!(over.as_i64().is_some_and(|over| over <= 0), "page {nr} scrolls sideways at {width}: {over}");
        }
        for mode in ["bare", "strict"] {
            assert_eq!(page["text"]["scripts"], page["text"][mode], "page {nr}: {mode}");
            assert_eq!(page["shapes"]["scripts"], page["shapes"][mode], "page {nr}: {mode}");
        }
    }
    let first = &seen[0];
    assert_eq!(first["copied"], json!({"said": "Copied", "isWhole": true}));
    assert_eq!(first["filtered"], json!(2), "the first box hides the critical findings");
    let refused: Vec<i64> = serde_json::from_value(first["sorted"].clone()).expect("numbers");
    assert!(refused.is_sorted() && refused.last() == Some(&699), "{refused:?}");
    assert!(first["shapes"]["bare"].as_u64().is_some_and(|shapes| shapes > 100));
    let text = seen[1]["text"]["bare"].as_str().expect("text");
    for name in &HOSTILE[..5] {
        assert!(text.contains(name), "{name} is shown as text");
    }
    assert!(text.contains("a\u{fffd}b\u{fffd}\u{fffd}[31m\u{fffd}]]>"), "hidden characters are shown");
    assert!(
        seen[2]["text"]["bare"]
            .as_str()
            .is_some_and(|text| text.starts_with("Skip to the first step PARTIAL: COULD NOT TELL"))
    );
}

/// The checks of the browser can fail.
#[test]
fn a_browser_finds_what_is_wrong() {
    let good = page(&golden());
    let spoilt = [
        good.replacen("</main>", "<img src=\"/stray.png\" alt=\"x\"></main>", 1),
        good.replacen("</main>", "<script>window.evil = 1; alert(1);</script></main>", 1),
        good.replacen("<main id=\"main\">", "<main id=\"main\"><p class=\"wide\">x</p><select></select>", 1),
    ];
    // Without the policy, which would stop two of them.
    let spoilt = spoilt.map(|page| page.replacen("Content-Security-Policy", "x", 1));
    let (_folder, seen) = seen(&spoilt.each_ref().map(String::as_str));
    assert!(
        seen[0]["requests"][0].as_str().is_some_and(|address| address.ends_with("/stray.png")),
        "{}",
        seen[0]["requests"]
    );
    assert_eq!((&seen[1]["acted"], &seen[1]["dialogs"][0]), (&json!(true), &json!("1")));
    assert!(seen[2]["overflow"]["light 360"].as_i64().is_some_and(|over| over > 100), "{}", seen[2]["overflow"]);
    assert!(seen[2]["violations"]["dark"][0].as_str().is_some_and(|rule| rule.starts_with("select-name")));
}

/// Texts of the golden that a redacted document must not have.
fn identifying(analysis: &Value) -> BTreeSet<String> {
    fn collect(key: &str, value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::String(text)
                if ["ip", "remote", "acl", "acl_name", "subnet", "cidr", "blob", "subnets"].contains(&key) =>
            {
                found.extend(text.split('/').filter(|part| part.len() > 3).map(str::to_owned));
            }
            Value::Array(items) => items.iter().for_each(|item| collect(key, item, found)),
            Value::Object(keys) => keys.iter().for_each(|(key, item)| collect(key, item, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    collect("", analysis, &mut found);
    let of_azure = ["subscriptions", "resourceGroups", "providers", "Microsoft.Network", "networkSecurityGroups"];
    found.retain(|text| !of_azure.iter().any(|known| known.eq_ignore_ascii_case(text)));
    found
}

fn report_to(folder: &Path, source: &Path, name: &str) -> String {
    let path = folder.join(name);
    let output = flowgap(&["report", source.to_str().expect("UTF-8"), "--redact", "-o", path.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    String::from_utf8_lossy(&std::fs::read(&path).expect("written")).into_owned()
}

#[test]
fn a_redacted_document_names_no_address_and_no_resource() {
    let mut analysis = golden();
    analysis["input"]["problem_count"] = json!(1);
    let blob = "resourceId=/SUBSCRIPTIONS/5E1F0A6C-2B7D-4C39-9A84-D30B6E7715F2/macAddress=002248ABCDEF/PT1H.json";
    analysis["input"]["problems"] = json!([{"blob": blob, "offset": 0, "record": 0, "reason": "cut at 10.20.1.77"}]);
    analysis["notices"][0]["message"] =
        json!("machine 002248ABCDEF in account contosologs.blob.core.windows.net, fd00:10::7");
    analysis["unmatched_denied"]["listed"] = json!([{"direction": "outbound", "remote": "10.77.0.9", "port": 443, "protocol": "TCP",
        "rule": "UserRule_deny-10.77.0.9", "acl": "weird \"name\"", "denied_tuples": 5, "first_denied": null, "last_denied": null,
        "last_allowed_before": null, "hint": "a flow that weird \"name\" refuses"}]);
    analysis["findings"][0]["remote_addresses"][0]["name"] = json!("payroll-db");
    let mut secrets = identifying(&analysis);
    for more in
        ["payroll", "contosologs", "002248", "fd00:10", "weird", "10.77", "10.20", "192.0.2", "203.0.113", "5e1f0a6c"]
    {
        secrets.insert(more.to_owned());
    }
    assert!(secrets.len() > 40 && secrets.contains("nsg-apim-example"), "{secrets:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("a.json");
    std::fs::write(&source, analysis.to_string()).expect("written");
    for name in ["r.txt", "r.json", "r.csv", "r.md", "r.html", "r.sarif", "r.xml", "r.parquet"] {
        let written = report_to(folder.path(), &source, name);
        for secret in &secrets {
            assert!(!written.to_lowercase().contains(&secret.to_lowercase()), "{name} has {secret}");
        }
        assert!(written.contains("APIM-OUT-SQL") && written.contains("nsg-1"), "{name} has the rest");
    }
    let redacted = report_to(folder.path(), &source, "r.json");
    crate::schema::check(&redacted);
    assert!(redacted == report_to(folder.path(), &source, "again.json"), "placeholders are stable");
    let redacted: Value = serde_json::from_str(&redacted).expect("JSON");
    assert_eq!(redacted["scope"]["vnet"], analysis["scope"]["vnet"], "the private ranges are everybody's");
    assert_eq!(redacted["scope"]["subnets"], json!(["network-1/24"]));
    assert_eq!(redacted["coverage"][0]["subnet"], redacted["scope"]["subnets"][0]);
    for key in ["status", "needs", "archive"] {
        assert_eq!(redacted[key], analysis[key], "{key}");
    }
    let (before, after) = (&analysis["findings"][0], &redacted["findings"][0]);
    for key in ["id", "rule", "hours", "first_denied", "score", "requirement", "denied_tuples"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    let explained = after["explanation"].as_str().expect("text");
    assert!(
        explained.starts_with("Traffic out of network-1/24 for Azure SQL (APIM-OUT-SQL), TCP port 1433"),
        "{explained}"
    );
    let fix = flowgap(&["fix", folder.path().join("r.json").to_str().expect("UTF-8")]);
    assert!(stdout(&fix).contains("${SUBSCRIPTION:?") && stdout(&fix).contains("--nsg-name nsg-1"), "{}", stdout(&fix));
}

#[test]
fn analyze_redacts_as_report_does() {
    let archive = "testdata/apim/insights-logs-flowlogflowevent";
    let tags = ["--service-tags", "testdata/tags/ServiceTags_Example_20260504.json", "--subnet", "10.20.1.0/24"];
    let direct = flowgap(&[&["analyze", archive, "--redact", "--format", "html"], &tags[..]].concat());
    let saved = flowgap(&["report", "tests/golden/apim.json", "--redact", "--format", "html"]);
    assert_eq!((direct.status.code(), saved.status.code()), (Some(1), Some(1)), "{}", stderr(&direct));
    assert!(direct.stdout == saved.stdout);
    check_structure(&stdout(&saved));
}
