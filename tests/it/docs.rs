//! Checks that the documents show what the binary prints, that their commands run, and that they explain every word.

use std::fs;

use flowgap::findings::NoticeCode;
use flowgap::findings::history::Transition;
use flowgap::findings::suppress::Suppressions;

use crate::cases::{A, DENY, MONITOR, SQL, TAGGED, UNTAGGED, day, deny_sql, gateway, planted};
use crate::support::archive::{Log, outbound};
use crate::support::binary::{command, flowgap, program, root, stderr, stdout};
use crate::support::http::Answer;

fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The part of the report that explains the finding of a rank.
fn section(log: &Log, arguments: &[&str], rank: usize) -> String {
    let folder = log.write();
    let folder = folder.path().to_str().expect("UTF-8");
    let report = stdout(&flowgap(&[&["analyze", folder, "--details"], arguments].concat()));
    let lines: Vec<&str> = report
        .lines()
        .skip_while(|line| !line.starts_with(&format!("{rank}. ")))
        .take_while(|l| !l.is_empty())
        .collect();
    lines.join("\n") + "\n"
}

#[test]
fn worked_examples_are_what_is_printed() {
    let mut blocked = day(&["APIM-OUT-SQL"]);
    (0..12).for_each(|hour| blocked.allowed(outbound(planted(hour), A, SQL, 1433)));
    deny_sql(&mut blocked, 12..24);
    let mut ambiguous = day(&["APIM-OUT-MONITOR"]);
    (8..24).for_each(|hour| ambiguous.denied(outbound(planted(hour), A, MONITOR, 443), DENY));
    let (mut unlisted, private_endpoint) = (day(&["APIM-OUT-KEYVAULT"]), "10.30.2.9");
    (0..12).for_each(|hour| unlisted.allowed(outbound(planted(hour), A, private_endpoint, 443)));
    (12..24).for_each(|hour| unlisted.denied(outbound(planted(hour), A, private_endpoint, 443), DENY));
    let mut swallowed = day(&["APIM-OUT-SQL"]);
    (0..24).for_each(|hour| swallowed.unanswered(outbound(planted(hour), A, SQL, 1433)));
    let external = [TAGGED, &["--vnet-mode", "external"]].concat();

    let mut page = document("docs/findings.md");
    for (log, arguments, rank, kind) in [
        (&blocked, TAGGED, 1, "blocked-dependency"),
        (&ambiguous, UNTAGGED, 1, "ambiguous-dependency"),
        (&gateway(2_000, 48), &external, 1, "source-restricted"),
        (&unlisted, TAGGED, 1, "unlisted-blocked"),
        (&swallowed, TAGGED, 1, "unanswered-dependency"),
        (&swallowed, TAGGED, 2, "forced-tunnelling-suspected"),
    ] {
        let printed = section(log, arguments, rank);
        assert!(printed.len() > 400, "{kind}: {printed}");
        let marker = format!("<!-- example {kind} -->\n```\n");
        let start = page.find(&marker).unwrap_or_else(|| panic!("no example of {kind}")) + marker.len();
        let end = start + page[start..].find("```").expect("an end");
        if std::env::var_os("FLOWGAP_BLESS").is_some() {
            page.replace_range(start..end, &printed);
            fs::write(root().join("docs/findings.md"), &page).expect("the page is written");
        } else {
            assert!(page[start..end] == printed, "{kind}; FLOWGAP_BLESS=1 rewrites it. Now:\n{printed}");
        }
    }
}

#[test]
fn every_word_of_the_model_is_explained() {
    let findings = document("docs/findings.md");
    for words in [
        "blocked-dependency ambiguous-dependency source-restricted unanswered-dependency forced-tunnelling-suspected",
        "unlisted-blocked configuration-contradicts platform-contradicts contradicted silent_since outside_loaded_tags worked_before follows_dns given proven likely rule no-answer",
        "blocked partial unanswered recovered share-unknown allowed indistinguishable no-evidence",
        "ongoing quiet recovered confirmed likely possible near far internal",
        "allow-rule admin-rule encryption route load-service-tags none",
        &NoticeCode::NAMES.join(" "),
    ] {
        for word in words.split(' ') {
            assert!(findings.contains(&format!("`{word}`")), "docs/findings.md says nothing of `{word}`");
        }
    }
}

/// The commands of a page: lines of its code blocks, continued lines joined, and inline code that names an option.
pub fn commands(page: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for (nr, part) in page.split("```\n").enumerate() {
        let text = part.replace("\\\n", " ");
        match nr % 2 {
            1 => commands.extend(text.lines().map(str::to_owned)),
            _ => commands.extend(text.split('`').skip(1).step_by(2).map(str::to_owned)),
        }
    }
    let names = ["flowgap ", "cargo ", "npm ", "FLOWGAP_BLESS", "TMPDIR="];
    commands.retain(|command| names.iter().any(|name| command.starts_with(name)));
    commands
}

/// Commands of flowgap run as they are written, over an archive of testdata. Others name files that exist.
#[test]
fn commands_of_the_documents_run() {
    let archive = "testdata/apim/insights-logs-flowlogflowevent";
    let manifest = document("Cargo.toml");
    let folder = tempfile::tempdir().expect("a folder");
    let api = crate::tags_fetch::example_api();
    let mut run = 0;
    for page in [
        "README.md",
        "docs/analyze.md",
        "docs/configuration.md",
        "docs/fix.md",
        "docs/inspect.md",
        "docs/lake.md",
        "docs/service-tags.md",
        "CONTRIBUTING.md",
    ] {
        for typed in commands(&document(page)) {
            let words: Vec<&str> = typed.split_whitespace().collect();
            let arguments = match words.as_slice() {
                ["flowgap", verb] if *verb != "requirements" => format!("{verb} --help"),
                ["flowgap", "tags", "fetch"] => "tags fetch --help".to_owned(),
                ["flowgap", rest @ ..] | ["cargo", "run", "--release", "--", rest @ ..] => rest.join(" "),
                other => {
                    for word in other {
                        let is_path = word.contains('/') && !word.starts_with("TMPDIR") && !word.contains("://");
                        assert!(!is_path || root().join(word).exists(), "{page}: {typed}: there is no {word}");
                    }
                    let bench = other.iter().skip_while(|word| **word != "--bench").nth(1);
                    let is_known = bench.is_none_or(|name| manifest.contains(&format!("name = \"{name}\"")));
                    assert!(is_known, "{page}: {typed}");
                    continue;
                }
            };
            let new = folder.path().join(run.to_string());
            let arguments = arguments
                .replace("https://ACCOUNT.blob.core.windows.net", archive)
                .replace("SOURCE", archive)
                .replace("--nsg FILE", "--nsg testdata/policy/nsg-apim.json")
                .replace("ANALYSIS.json", "tests/golden/apim.json")
                .replace("--subscription ID", "--subscription 00000000-0000-0000-0000-000000000000")
                .replace(" LAKE", &format!(" '{}'", folder.path().join("lake").display()))
                .replace(" DIR", &format!(" '{}'", new.display()));
            let binary = command(&[]);
            let script = format!("'{}' {arguments}", binary.get_program().display());
            // The last analysis is that of the archive, whatever ran before.
            let state = folder.path().join("state/flowgap");
            fs::create_dir_all(&state).expect("a folder");
            fs::copy(root().join("tests/golden/apim.json"), state.join("last-analysis.json")).expect("copied");
            let mut shell = program("sh");
            shell.env("XDG_STATE_HOME", folder.path().join("state")).current_dir(root()).args(["-c", &script]);
            if arguments.starts_with("tags ") {
                shell.env("XDG_CACHE_HOME", folder.path()).envs(api.variables());
            }
            let output = shell.output().expect("sh");
            let status = output.status.code();
            // The archive is older than --last says.
            let expected: &[i32] = match arguments.split(' ').next() {
                Some("analyze") if arguments.contains("--last") => &[3],
                // What the examples ask for is not in the archive, which is old and has no service tags.
                Some("was" | "doctor") if !arguments.contains("--help") => &[3],
                Some("analyze" | "report" | "check") if !arguments.contains("--help") => &[1],
                _ => &[0],
            };
            assert!(status.is_some_and(|s| expected.contains(&s)), "{page}: {typed}: {status:?}: {}", stderr(&output));
            run += 1;
        }
    }
    assert!(run >= 12, "{run} commands ran");
}

/// The steps of the page about the job, in their order, with its configuration and its sample of a first run.
#[test]
fn the_page_of_the_job_leads_to_an_alert() {
    let page = document("docs/job.md");
    let block = |kind: &str| page.split(kind).nth(1).and_then(|rest| rest.split("```").next()).expect("a block");
    let folder = tempfile::tempdir().expect("a folder");
    let archive = root().join("testdata/apim/insights-logs-flowlogflowevent");
    let config = block("```toml\n").replace("https://ACCOUNT.blob.core.windows.net", archive.to_str().expect("UTF-8"));
    fs::write(folder.path().join("flowgap.toml"), config).expect("written");
    let slack = crate::support::http::serve(|request, stream| Answer::new(200, &[], "ok").send(request, stream));
    let mut said = Vec::new();
    let is_typed = |line: &&str| line.starts_with("flowgap ") && line.contains("flowgap.toml");
    for typed in page.lines().map(str::trim).filter(is_typed) {
        let now = if typed.contains(" run ") { " --now 2026-05-05T00:00:00Z" } else { "" };
        let binary = command(&[]);
        let script = typed.replacen("flowgap", &format!("'{}'", binary.get_program().display()), 1) + now;
        let mut shell = program("sh");
        shell.current_dir(folder.path()).args(["-c", &script]);
        let output = shell.env("SLACK_URL", format!("http://127.0.0.1:{}/x", slack.port)).output().expect("sh");
        let expected = i32::from(typed.contains(" run ") && !typed.contains("--test-delivery"));
        assert_eq!(output.status.code(), Some(expected), "{typed}: {}", stderr(&output));
        said.push(stderr(&output));
    }
    assert_eq!(said.len(), 4, "{said:?}");
    assert!(
        page.lines().any(|line| line.trim() == said[3].trim()),
        "docs/job.md shows something else than {}",
        said[3]
    );
    assert!(folder.path().join("reports/apim-weu/2026-05-05.json").exists());
    for word in Transition::NAMES {
        assert!(page.contains(&format!("| `{word}` |")), "docs/job.md says nothing of `{word}`");
    }
    let file = document("docs/suppressions.md");
    let example = file.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block");
    Suppressions::parse("docs/suppressions.md", example).expect("an example that is read");
}

/// Samples are the golden ones, apart from what they leave out.
#[test]
fn samples_show_what_is_printed() {
    for (page, marker, golden) in
        [("README.md", "BLOCKED  ", "apim.txt"), ("docs/inspect.md", "API Management?", "inspect-apim.txt")]
    {
        let text = document(page);
        let sample = text.split("```").find(|block| block.contains(marker)).expect("a sample");
        let sample = sample.trim_start_matches("text");
        let golden = document(&format!("tests/golden/{golden}"));
        let mut rest = golden.as_str();
        for part in sample.split("[...]").map(str::trim).filter(|part| !part.is_empty()) {
            let at = rest.find(part).unwrap_or_else(|| panic!("{page} shows what is not printed there:\n{part}"));
            rest = &rest[at + part.len()..];
        }
    }
}

/// Blocks that begin with `$ flowgap` are what a shell prints.
#[test]
fn questions_of_the_sql_page_are_answered_so() {
    let mut page = document("docs/sql.md");
    let mut at = 0;
    let mut asked = 0;
    while let Some(found) = page[at..].find("```\n$ flowgap ") {
        let start = at + found + "```\n$ ".len();
        let end = start + page[start..].find("```").expect("an end");
        let block = page[start..end].to_owned();
        let lines = block.split_inclusive('\n');
        let is_continued = |line: &&str| line.ends_with("\\\n");
        let count = lines.clone().take_while(is_continued).count() + 1;
        let asks: String = lines.clone().take(count).collect();
        let shown: String = lines.skip(count).collect();
        let flowgap = command(&[]);
        let script = asks.replacen("flowgap", &format!("'{}'", flowgap.get_program().display()), 1);
        let output = program("sh").current_dir(root()).args(["-c", &script]).output().expect("sh");
        let printed = stdout(&output);
        if std::env::var_os("FLOWGAP_BLESS").is_some() {
            page.replace_range(start..end, &format!("{asks}{printed}"));
            fs::write(root().join("docs/sql.md"), &page).expect("the page is written");
        } else {
            assert!(shown == printed, "{asks}now prints:\n{printed}{}", stderr(&output));
        }
        asked += 1;
        at = start;
    }
    assert!(asked >= 10, "{asked} questions");
}

#[test]
fn every_table_column_function_and_query_is_on_the_sql_page() {
    let page = document("docs/sql.md");
    let archive = "testdata/apim/insights-logs-flowlogflowevent";
    let columns = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'";
    let listed = stdout(&flowgap(&["sql", archive, "-c", columns, "--format", "tsv"]));
    assert!(listed.lines().count() > 80, "{listed}");
    for line in listed.lines().skip(1) {
        let (table, column) = line.split_once('\t').expect("two");
        assert!(page.contains(&format!("`{table}`")), "{table}");
        assert!(page.contains(&format!("`{column}`")), "{table}.{column}");
    }
    for function in flowgap::engine::FUNCTIONS {
        assert!(page.contains(function.call), "{}", function.call);
    }
    for query in flowgap::queries::shipped().expect("headers") {
        assert!(page.contains(&format!("`{}`", query.id)), "{}", query.id);
    }
}
