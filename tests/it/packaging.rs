//! The recipes of `packaging`: their configurations and command lines are accepted by the binary, and what can run here runs.

mod bicep;
mod installed;
mod pipelines;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::docs::commands;
use crate::sql_cli::python;
use crate::support::binary::{command, flowgap, root, stderr, stdout};

const KUBERNETES: &str = "packaging/kubernetes/cronjob.yaml";
const BICEP: &str = "packaging/container-apps/main.bicep";
const SERVICE: &str = "packaging/systemd/flowgap.service";
const CONTAINER: &str = "packaging/container/Containerfile";
const PAGES: [&str; 2] = ["packaging/README.md", "docs/packaging.md"];

fn file(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents of a YAML file.
fn yaml(path: &str) -> Vec<Value> {
    let read = Command::new(python())
        .arg(root().join("tests/readers/yaml_as_json.py"))
        .arg(root().join(path))
        .output()
        .expect("python starts");
    assert!(read.status.success(), "{path}: {}", stderr(&read));
    serde_json::from_slice(&read.stdout).expect("JSON")
}

/// The only document of a kind in the Kubernetes recipe.
fn object(kind: &str) -> Value {
    let mut found: Vec<Value> = yaml(KUBERNETES).into_iter().filter(|document| document["kind"] == kind).collect();
    assert_eq!(found.len(), 1, "{kind}");
    found.remove(0)
}

fn texts(value: &Value) -> Vec<String> {
    let texts = value.as_array().unwrap_or_else(|| panic!("{value} is no list"));
    texts.iter().map(|text| text.as_str().unwrap_or_else(|| panic!("{text} is no text")).to_owned()).collect()
}

/// The texts at `key` of each object of a list.
fn each(list: &Value, key: &str) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().filter_map(|value| value[key].as_str()).map(str::to_owned).collect()
}

fn pod() -> Value {
    object("CronJob")["spec"]["jobTemplate"]["spec"]["template"].clone()
}

fn container() -> Value {
    pod()["spec"]["containers"][0].clone()
}

/// A configuration of a recipe.
struct Recipe {
    origin: &'static str,
    text: String,
    /// Environment variables that the recipe sets.
    variables: BTreeSet<String>,
    /// Beginnings of places to which it may write.
    writable: Vec<String>,
}

fn recipes() -> Vec<Recipe> {
    let pod = pod();
    let claims: BTreeSet<&str> = pod["spec"]["volumes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|volume| volume["persistentVolumeClaim"].is_object())
        .filter_map(|volume| volume["name"].as_str())
        .collect();
    let mounts = container()["volumeMounts"].as_array().cloned().unwrap_or_default();
    let kept = mounts.iter().filter(|mount| mount["name"].as_str().is_some_and(|name| claims.contains(name)));
    let template = bicep::read(&file(BICEP));
    vec![
        Recipe {
            origin: KUBERNETES,
            text: object("ConfigMap")["data"]["flowgap.toml"].as_str().expect("a configuration").to_owned(),
            variables: each(&container()["env"], "name"),
            writable: kept.filter_map(|mount| Some(format!("{}/", mount["mountPath"].as_str()?))).collect(),
        },
        Recipe {
            origin: "packaging/container-apps/flowgap.toml",
            text: file("packaging/container-apps/flowgap.toml"),
            variables: each(&template.container()["env"], "name"),
            writable: vec!["https://".to_owned()],
        },
        Recipe {
            origin: "src/job/config/example.toml",
            text: file("src/job/config/example.toml"),
            variables: BTreeSet::new(),
            // Relative paths lie in the working folder of the service, which is that of its state.
            writable: vec!["/var/lib/flowgap".to_owned(), "reports/".to_owned()],
        },
    ]
}

/// Runs the check of a configuration. `url` is the value of its variables.
fn check(recipe: &Recipe, without: Option<&str>) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flowgap.toml");
    std::fs::write(&path, &recipe.text).expect("a file");
    let mut check = command(&["config", "check", path.to_str().expect("UTF-8")]);
    for name in recipe.variables.iter().filter(|name| Some(name.as_str()) != without) {
        check.env(name, "https://example.westeurope.logic.example/workflows/x");
    }
    let output = check.output().expect("flowgap starts");
    (output.status.code(), stderr(&output))
}

#[test]
fn configurations_of_recipes_are_valid() {
    for recipe in recipes() {
        let origin = recipe.origin;
        let (status, said) = check(&recipe, None);
        assert_eq!(status, Some(0), "{origin}: {said}");
        let damaged = Recipe { text: recipe.text.replace("[[instance]]", "[[instances]]"), ..recipe };
        assert_eq!(check(&damaged, None).0, Some(2), "{origin}: a wrong key is found");
    }
}

#[test]
fn recipes_set_the_variables_that_their_configurations_name() {
    let mut named = 0;
    for recipe in recipes() {
        for name in recipe.text.split("\"env:").skip(1).filter_map(|rest| rest.split('"').next()) {
            // The comment of the example says how values are written.
            if name == "NAME" {
                continue;
            }
            assert!(recipe.variables.contains(name), "{}: nothing sets {name}", recipe.origin);
            let (status, said) = check(&recipe, Some(name));
            assert_eq!(status, Some(2), "{}: {said}", recipe.origin);
            assert!(said.contains(name), "{said}");
            named += 1;
        }
    }
    assert!(named >= 2, "{named} variables");
}

#[test]
fn recipes_write_only_where_they_may() {
    for recipe in recipes() {
        let config: toml::Table = recipe.text.parse().expect("TOML");
        let receivers = config["deliver"].as_array().expect("receivers").iter();
        let places = receivers.filter_map(|receiver| receiver.get("path")).chain([&config["state"]]);
        for place in places.map(|place| place.as_str().expect("a text")) {
            let is_kept = recipe.writable.iter().any(|start| place.starts_with(start.as_str()));
            assert!(is_kept, "{}: {place} is not kept", recipe.origin);
        }
    }
}

/// Every command line of a recipe or its documents, with its origin. Those of the pipelines are run elsewhere.
fn command_lines() -> Vec<(String, Vec<String>)> {
    let words = |text: &str| text.split_whitespace().map(|word| word.trim_matches('"').to_owned()).collect();
    let mut lines: Vec<(String, Vec<String>)> = vec![
        (KUBERNETES.to_owned(), texts(&container()["args"])),
        (BICEP.to_owned(), texts(&bicep::read(&file(BICEP)).container()["args"])),
        (CONTAINER.to_owned(), installed::image_command()),
        (SERVICE.to_owned(), words(&installed::started())),
    ];
    for page in PAGES {
        let typed = commands(&file(page)).into_iter().filter(|line| line.starts_with("flowgap "));
        lines.extend(typed.map(|line| (page.to_owned(), words(&line)[1..].to_vec())));
    }
    lines
}

#[test]
fn command_lines_of_recipes_have_known_options() {
    let mut seen = BTreeMap::<String, u32>::new();
    for (origin, line) in command_lines() {
        let ask = |more: &[&str]| {
            let words: Vec<&str> = line.iter().map(String::as_str).chain(more.iter().copied()).collect();
            flowgap(&words)
        };
        let help = ask(&["--help"]);
        assert!(help.status.success(), "{origin}: flowgap {}: {}", line.join(" "), stderr(&help));
        if line.first().is_some_and(|word| !word.starts_with('-')) {
            assert_eq!(ask(&["--no-such-option", "--help"]).status.code(), Some(2), "a wrong option is found");
        }
        *seen.entry(origin).or_default() += 1;
    }
    let origins = [KUBERNETES, BICEP, CONTAINER, SERVICE, PAGES[0], PAGES[1]];
    for origin in origins {
        assert!(seen.contains_key(origin), "no command line in {origin}");
    }
}

#[test]
fn the_cron_job_runs_alone_without_privileges_and_with_its_identity() {
    let job = object("CronJob")["spec"].clone();
    assert_eq!(job["concurrencyPolicy"], "Forbid");
    assert_eq!(job["timeZone"], "Etc/UTC");
    assert_eq!(job["jobTemplate"]["spec"]["backoffLimit"], 0);
    assert!(job["startingDeadlineSeconds"].is_u64() && job["jobTemplate"]["spec"]["activeDeadlineSeconds"].is_u64());

    let pod = pod();
    assert_eq!(pod["metadata"]["labels"]["azure.workload.identity/use"], "true");
    let account = object("ServiceAccount");
    assert_eq!(pod["spec"]["serviceAccountName"], account["metadata"]["name"]);
    assert!(account["metadata"]["annotations"]["azure.workload.identity/client-id"].is_string());
    assert_eq!(pod["spec"]["securityContext"]["runAsNonRoot"], true);

    let container = container();
    let security = &container["securityContext"];
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(texts(&security["capabilities"]["drop"]), ["ALL"]);
    let (mounts, volumes) = (&container["volumeMounts"], &pod["spec"]["volumes"]);
    assert_eq!(each(mounts, "name"), each(volumes, "name"));
    let config = &texts(&container["args"])[2];
    let folder = Path::new(config).parent().and_then(Path::to_str).expect("a folder");
    assert!(each(mounts, "mountPath").contains(folder), "{config} is mounted");

    // Every object that another one names is in the file, in the same namespace.
    let documents = yaml(KUBERNETES);
    let names = |kind: &str| -> Vec<&str> {
        let of_kind = documents.iter().filter(|document| document["kind"] == kind);
        of_kind.filter_map(|document| document["metadata"]["name"].as_str()).collect()
    };
    let secret = &container["env"][0]["valueFrom"]["secretKeyRef"];
    assert!(names("Secret").contains(&secret["name"].as_str().expect("a name")));
    assert!(object("Secret")["stringData"][secret["key"].as_str().expect("a key")].is_string());
    let named = |key: &str, name: &str| {
        volumes
            .as_array()
            .into_iter()
            .flatten()
            .find_map(|volume| volume[key][name].as_str())
            .expect("a volume")
            .to_owned()
    };
    assert!(names("ConfigMap").contains(&named("configMap", "name").as_str()));
    assert!(names("PersistentVolumeClaim").contains(&named("persistentVolumeClaim", "claimName").as_str()));
    for document in documents.iter().filter(|document| document["kind"] != "Namespace") {
        assert!(names("Namespace").contains(&document["metadata"]["namespace"].as_str().expect("a namespace")));
    }
}

#[test]
fn the_bicep_template_is_whole() {
    let template = bicep::read(&file(BICEP));
    assert_eq!(template.unknown(), Vec::<&str>::new(), "names that nothing declares");
    assert_eq!(template.unused(), Vec::<&str>::new(), "parameters that nothing uses");
    let job = &template.resources["job"];
    assert!(job.kind.starts_with("Microsoft.App/jobs@") && !job.is_existing, "{}", job.kind);
    assert_eq!(job.body["identity"]["type"], "UserAssigned");
    let configuration = &job.body["properties"]["configuration"];
    assert_eq!(configuration["triggerType"], "Schedule");
    assert_eq!(configuration["replicaRetryLimit"], 0);
    assert_eq!(configuration["scheduleTriggerConfig"]["parallelism"], 1);
    assert_eq!(configuration["scheduleTriggerConfig"]["replicaCompletionCount"], 1);

    let secrets = each(&configuration["secrets"], "name");
    let container = template.container();
    let volume = &job.body["properties"]["template"]["volumes"][0];
    let mount = &container["volumeMounts"][0];
    let used: BTreeSet<String> =
        each(&container["env"], "secretRef").into_iter().chain(each(&volume["secrets"], "secretRef")).collect();
    assert_eq!(used, secrets);
    assert_eq!(mount["volumeName"], volume["name"]);
    let (folder, name) = (mount["mountPath"].as_str().expect("a path"), volume["secrets"][0]["path"].as_str());
    assert_eq!(texts(&container["args"])[2], format!("{folder}/{}", name.expect("a name")));
    let content = configuration["secrets"][0]["value"][bicep::EXPRESSION].as_str().expect("an expression");
    let loaded = content.strip_prefix("loadTextContent('").and_then(|rest| rest.strip_suffix("')")).expect("a file");
    assert!(root().join("packaging/container-apps").join(loaded).exists(), "{loaded}");
    assert!(template.is_secure("teamsUrl"), "the address of a receiver is a secret");
}

#[test]
fn documents_name_files_that_exist() {
    let mut named = 0;
    for page in PAGES {
        let text = file(page);
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
        for word in text.split(|letter| !is_part(letter)) {
            let path = word.trim_start_matches("./").trim_end_matches('.');
            if path.starts_with("packaging/") {
                assert!(root().join(path).exists(), "{page}: there is no {path}");
                named += 1;
            }
        }
    }
    assert!(named >= 10, "{named} files");
    let recipes = std::fs::read_dir(root().join("packaging")).expect("a folder");
    for recipe in recipes.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir()) {
        let path = format!("packaging/{}", recipe.file_name().and_then(|name| name.to_str()).expect("UTF-8"));
        PAGES.iter().for_each(|page| assert!(file(page).contains(&path), "{page} says nothing of {path}"));
    }
}

/// The tool's version in a page or a recipe is that of the manifest.
#[test]
fn recipes_name_this_version() {
    let manifest: toml::Table = file("Cargo.toml").parse().expect("TOML");
    let version = manifest["package"]["version"].as_str().expect("a version");
    let rust = manifest["package"]["rust-version"].as_str().expect("a version");
    for (path, text) in [
        (KUBERNETES, format!("flowgap:{version}")),
        (BICEP, format!("flowgap:{version}")),
        (pipelines::GITHUB, format!("TAG: v{version}")),
        (pipelines::AZURE_DEVOPS, format!("TAG: v{version}")),
        (CONTAINER, format!("FROM rust:{rust}-")),
        (pipelines::GITHUB, format!("cargo +{rust} install")),
        (pipelines::AZURE_DEVOPS, format!("cargo +{rust} install")),
    ] {
        assert!(file(path).contains(&text), "{path} has no {text}");
    }
    assert_eq!(stdout(&flowgap(&["--version"])).trim(), format!("flowgap {version}"));
}
