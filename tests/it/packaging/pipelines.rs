//! The scripts of CI pipelines, run on an archive of testdata with a stand-in for `az`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::yaml;
use crate::support::binary::{command, root, stderr, stdout};

pub const GITHUB: &str = "packaging/github/flow-logs.yml";
pub const AZURE_DEVOPS: &str = "packaging/azure-devops/flow-logs.yml";

/// The only document of a pipeline.
fn pipeline(path: &str) -> Value {
    let mut documents = yaml(path);
    assert_eq!(documents.len(), 1, "{path}");
    documents.remove(0)
}

fn steps(path: &str) -> Vec<Value> {
    let pipeline = pipeline(path);
    let job = if path == GITHUB { &pipeline["jobs"]["analyze"] } else { &pipeline["jobs"][0] };
    job["steps"].as_array().unwrap_or_else(|| panic!("{path} has no steps")).clone()
}

/// The step that a name begins.
fn step(path: &str, key: &str, start: &str) -> Value {
    let mut found =
        steps(path).into_iter().filter(|step| step[key].as_str().is_some_and(|name| name.starts_with(start)));
    let step = found.next().unwrap_or_else(|| panic!("{path} has no {start}"));
    assert!(found.next().is_none(), "{path}: {start} is there once");
    step
}

fn script(step: &Value) -> Option<String> {
    let script = [&step["run"], &step["bash"], &step["inputs"]["inlineScript"]].into_iter().find_map(Value::as_str);
    script.map(str::to_owned)
}

/// Every script of the pipelines, with the file that it is in.
fn scripts() -> Vec<(&'static str, String)> {
    let of =
        |path: &'static str| steps(path).iter().filter_map(script).map(|script| (path, script)).collect::<Vec<_>>();
    [of(GITHUB), of(AZURE_DEVOPS)].concat()
}

fn program(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).expect("a program");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode");
}

/// Runs the scripts of a pipeline in `folder`, except the one that builds the program. A name that is not set is an error.
fn run(path: &str, folder: &Path) -> Vec<Output> {
    let programs = folder.join("programs");
    fs::create_dir(&programs).expect("a folder");
    let tags = root().join("testdata/tags/ServiceTags_Example_20260504.json");
    let known = "network list-service-tags --location westeurope --output json";
    program(&programs.join("az"), &format!("[ \"$*\" = '{known}' ] && cat '{}'", tags.display()));
    let binary = command(&[]);
    let flowgap = Path::new(binary.get_program());
    program(&programs.join("flowgap"), &format!("exec '{}' \"$@\" --now 2026-05-05T06:00:00Z", flowgap.display()));

    let pipeline = pipeline(path);
    let variables = pipeline["env"].as_object().or(pipeline["variables"].as_object()).expect("variables");
    let all: Vec<String> = steps(path).iter().filter_map(script).collect();
    let scripts: Vec<&String> = all.iter().filter(|script| !script.contains("cargo ")).collect();
    assert_eq!(scripts.len() + 1, all.len(), "one script builds the program");
    let run = |script: &String| {
        let mut bash = Command::new("bash");
        bash.current_dir(folder).args(["-euc", script]).env_clear();
        for (name, value) in variables {
            bash.env(name, value.as_str().expect("a text"));
        }
        bash.env("LOGS", root().join("testdata/apim/insights-logs-flowlogflowevent"));
        bash.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display()));
        bash.env("PIPELINE_WORKSPACE", folder).env("GITHUB_STEP_SUMMARY", folder.join("job-summary"));
        let output = bash.output().expect("bash starts");
        assert!(output.status.success(), "{path}: {script}: {}", stderr(&output));
        output
    };
    scripts.into_iter().map(run).collect()
}

#[test]
fn the_workflow_writes_alerts_and_a_summary() {
    let folder = tempfile::tempdir().expect("a folder");
    run(GITHUB, folder.path());
    let upload = step(GITHUB, "uses", "github/codeql-action/upload-sarif@");
    let sarif = upload["with"]["sarif_file"].as_str().expect("a file");
    let sarif: Value = serde_json::from_slice(&fs::read(folder.path().join(sarif)).expect("SARIF")).expect("JSON");
    assert_eq!(sarif["runs"][0]["results"].as_array().map(Vec::len), Some(5));
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "APIM-OUT-SQL.blocked-dependency");
    let summary = fs::read_to_string(folder.path().join("job-summary")).expect("a summary");
    assert!(summary.starts_with("# ") && summary.contains("APIM-OUT-SQL"), "{summary}");

    // A run that could not tell ends the analysis with 3. What it wrote is uploaded all the same.
    for step in [&upload, &step(GITHUB, "name", "Show the report")] {
        let condition = step["if"].as_str().expect("a condition");
        assert!(condition.contains("!cancelled()") && condition.contains("hashFiles("), "{condition}");
    }
    let needed = serde_json::json!({ "contents": "read", "id-token": "write", "security-events": "write" });
    assert_eq!(pipeline(GITHUB)["permissions"], needed);
    assert!(pipeline(GITHUB)["on"]["schedule"][0]["cron"].is_string());
}

#[test]
fn the_azure_pipeline_writes_tests_and_a_summary() {
    let folder = tempfile::tempdir().expect("a folder");
    let outputs = run(AZURE_DEVOPS, folder.path());
    let publish = step(AZURE_DEVOPS, "task", "PublishTestResults@");
    let tests = publish["inputs"]["testResultsFiles"].as_str().expect("a file");
    let tests = fs::read_to_string(folder.path().join(tests)).expect("JUnit");
    assert!(tests.contains("<failure message=\"APIM-OUT-SQL is blocked\""), "{tests}");
    let printed: String = outputs.iter().map(stdout).collect();
    let summary = printed.split("##vso[task.uploadsummary]").nth(1).and_then(|rest| rest.lines().next());
    let summary = fs::read_to_string(summary.expect("a summary is named")).expect("it is there");
    assert!(summary.contains("APIM-OUT-SQL"), "{summary}");
    for step in [&publish, &step(AZURE_DEVOPS, "displayName", "Show the report")] {
        assert_eq!(step["condition"], "always()");
    }
    assert_eq!(pipeline(AZURE_DEVOPS)["schedules"][0]["always"], true);
}

/// Text of the service in a script would be run by the shell.
#[test]
fn scripts_hold_no_expressions_of_the_service() {
    for (path, script) in scripts() {
        for open in ["${{", "$("] {
            let found = script.split(open).skip(1).find(|rest| !(open == "$(" && rest.starts_with("date ")));
            assert!(found.is_none(), "{path}: {open} in {script}");
        }
    }
}
