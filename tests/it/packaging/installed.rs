//! What is installed: the units of systemd, the files of an image, of the Debian package and of the wheel.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::{CONTAINER, SERVICE, file};
use crate::support::binary::{command, flowgap, root, stderr, stdout};

const TIMER: &str = "packaging/systemd/flowgap.timer";

/// The settings of a unit: section, key, value.
fn unit(path: &str) -> Vec<(String, String, String)> {
    let mut section = String::new();
    let mut settings = Vec::new();
    let text = file(path);
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => section = name.to_owned(),
            None => {
                let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{path}: {line:?} is no setting"));
                assert!(key.bytes().all(|letter| letter.is_ascii_alphabetic()), "{path}: {key}");
                settings.push((section.clone(), key.to_owned(), value.to_owned()));
            }
        }
    }
    settings
}

/// The value of a key that a unit sets once.
fn setting(path: &str, section: &str, key: &str) -> String {
    let mut found = unit(path).into_iter().filter(|(in_section, name, _)| in_section == section && name == key);
    let (_, _, value) = found.next().unwrap_or_else(|| panic!("{path} does not set {section}.{key}"));
    assert!(found.next().is_none(), "{path} sets {key} twice");
    value
}

/// The arguments with which the service starts the binary.
pub fn started() -> String {
    let start = setting(SERVICE, "Service", "ExecStart");
    start.strip_prefix("/usr/bin/flowgap ").unwrap_or_else(|| panic!("{start}")).to_owned()
}

#[test]
fn the_service_has_few_rights_and_findings_do_not_fail_it() {
    for (key, value) in [
        ("Type", "oneshot"),
        ("SuccessExitStatus", "1"),
        ("DynamicUser", "yes"),
        ("StateDirectory", "flowgap"),
        ("ProtectSystem", "strict"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
    ] {
        assert_eq!(setting(SERVICE, "Service", key), value, "{key}");
    }
    let example: toml::Table = flowgap::job::config::EXAMPLE.parse().expect("TOML");
    let state = example["state"].as_str().expect("a text");
    assert_eq!(state, format!("/var/lib/{}", setting(SERVICE, "Service", "StateDirectory")));
    setting(SERVICE, "Service", "TimeoutStartSec");
    for (key, value) in [("OnCalendar", "hourly"), ("Persistent", "true"), ("RandomizedDelaySec", "300")] {
        assert_eq!(setting(TIMER, "Timer", key), value, "{key}");
    }
    assert_eq!(setting(TIMER, "Install", "WantedBy"), "timers.target");
    let sections: BTreeSet<String> = unit(SERVICE).into_iter().map(|(section, ..)| section).collect();
    assert_eq!(sections, BTreeSet::from(["Service".to_owned(), "Unit".to_owned()]));
}

/// systemd itself checks the units, where it is installed. Else the test above is the only one.
#[test]
fn systemd_accepts_the_units() {
    if let Err(error) = Command::new("systemd-analyze").arg("--version").output() {
        println!("systemd-analyze verify was not run: {error}");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let program = command(&[]);
    let program = program.get_program().to_str().expect("UTF-8");
    let verify = |damage: &str| {
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", "--man=no"]);
        for path in [SERVICE, TIMER] {
            let name = Path::new(path).file_name().expect("a name");
            let copy = folder.path().join(name);
            let text = file(path).replace("/usr/bin/flowgap", program);
            fs::write(&copy, text.replace("[Service]\n", &format!("[Service]\n{damage}"))).expect("a file");
            verify.arg(copy);
        }
        let output = verify.output().expect("it starts");
        (output.status.success(), stderr(&output))
    };
    // Messages about units of this machine do not name ours.
    let about_ours = |(_, said): &(bool, String)| said.lines().any(|line| line.contains("flowgap."));
    let verified = verify("");
    assert!(verified.0 && !about_ours(&verified), "{}", verified.1);
    let damaged = verify("TimeoutStartSecond=50min\n");
    assert!(about_ours(&damaged), "a wrong key is found: {}", damaged.1);
}

/// The instructions of the last stage of the Containerfile.
fn instructions() -> Vec<(String, String)> {
    let text = file(CONTAINER);
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let split = |line: &str| line.split_once(' ').map(|(name, rest)| (name.to_owned(), rest.to_owned()));
    lines.map(|line| split(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

/// The command that the image runs without arguments.
pub fn image_command() -> Vec<String> {
    let instructions = instructions();
    let list = |name: &str| -> Vec<String> {
        let (_, list) = instructions.iter().find(|(known, _)| known == name).expect("an instruction");
        serde_json::from_str(list).expect("a JSON list, so that no shell is needed")
    };
    assert_eq!(list("ENTRYPOINT"), ["/usr/bin/flowgap"]);
    list("CMD")
}

#[test]
fn the_image_has_no_shell_and_no_root() {
    let all = instructions();
    let last = all.iter().rposition(|(name, _)| name == "FROM").expect("a stage");
    assert_eq!(all[last].1, "scratch");
    let of_last = |name: &str| all[last..].iter().find(|(known, _)| known == name).map(|(_, rest)| rest.as_str());
    let user = of_last("USER").expect("a user");
    assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id >= 1000)), "{user}");
    assert_eq!(of_last("COPY"), Some("--from=build /rootfs /"));
    assert!(all[..last].iter().any(|(name, rest)| name == "FROM" && rest.ends_with(" AS build")));
    let scripts =
        all.iter().filter_map(|(_, rest)| rest.split(' ').next()).filter(|word| word.starts_with("packaging/"));
    let scripts: Vec<&str> = scripts.collect();
    assert_eq!(scripts, ["packaging/container/rootfs.sh"]);
    scripts.iter().for_each(|path| assert!(root().join(path).exists(), "{path}"));
    assert!(file(".dockerignore").lines().any(|line| line == "/target"));
}

/// The files of the image are enough for the binary, read only and without rights.
#[test]
fn the_files_of_the_image_run_the_binary() {
    let can =
        |words: &[&str]| Command::new(words[0]).args(&words[1..]).output().is_ok_and(|done| done.status.success());
    if !can(&["unshare", "--mount", "true"]) {
        println!("the files of the image were not run: this user may not mount");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let files = folder.path().join("rootfs");
    let program = command(&[]);
    let made = Command::new(root().join("packaging/container/rootfs.sh"))
        .arg(program.get_program())
        .arg(&files)
        .output()
        .expect("sh");
    assert!(made.status.success(), "{}", stderr(&made));
    let run = |words: &str| {
        let script = format!(
            "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec chroot --userspec=65532:65532 \"$0\" {words}"
        );
        Command::new("unshare")
            .args(["--mount", "sh", "-c", &script])
            .arg(&files)
            .env_clear()
            .output()
            .expect("unshare")
    };
    let version = run("/usr/bin/flowgap --version");
    assert!(version.status.success(), "{}", stderr(&version));
    assert_eq!(stdout(&version), stdout(&flowgap(&["--version"])));
    let editions = run("/usr/bin/flowgap requirements --list-editions");
    assert_eq!(stdout(&editions), stdout(&flowgap(&["requirements", "--list-editions"])));
    let write = run("/usr/bin/flowgap generate /var/lib/flowgap/logs");
    assert_eq!(write.status.code(), Some(2), "the root is read only: {}", stderr(&write));
    assert!(stderr(&write).contains("Read-only file system"), "{}", stderr(&write));
}

fn manifest() -> toml::Table {
    file("Cargo.toml").parse().expect("TOML")
}

#[test]
fn the_debian_package_has_its_files_and_a_page_for_each_verb() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = command(&[]);
    let pages = Command::new(root().join("packaging/pages.sh")).arg(program.get_program()).arg(folder.path()).output();
    let pages = pages.expect("sh");
    assert!(pages.status.success(), "{}", stderr(&pages));
    let written: BTreeSet<String> = fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();

    let help = stdout(&flowgap(&["--help"]));
    let verbs = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let verbs = verbs.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    let verbs: Vec<&str> = verbs.filter(|verb| *verb != "help").collect();
    assert!(verbs.len() > 8, "{verbs:?}");
    for verb in verbs {
        assert!(written.contains(&format!("flowgap-{verb}.1")), "{verb} has no page");
    }
    let script = fs::read_to_string(folder.path().join("flowgap.bash")).expect("a script");
    let parsed = Command::new("bash").args(["-nc", &script]).output().expect("bash");
    assert!(parsed.status.success(), "{}", stderr(&parsed));

    let manifest = manifest();
    let deb = &manifest["package"]["metadata"]["deb"];
    let mut installed = BTreeSet::new();
    for asset in deb["assets"].as_array().expect("assets") {
        let source = asset[0].as_str().expect("a path");
        match source.strip_prefix("target/package/") {
            Some(name) => {
                let pattern = glob::Pattern::new(name).expect("a pattern");
                let matching: Vec<&String> = written.iter().filter(|name| pattern.matches(name)).collect();
                assert!(!matching.is_empty(), "{source} is not written");
                installed.extend(matching);
            }
            None => assert!(source == "target/release/flowgap" || root().join(source).exists(), "there is no {source}"),
        }
    }
    assert_eq!(installed, written.iter().collect(), "every page and script is installed");
    for folder in [&deb["maintainer-scripts"], &deb["systemd-units"]["unit-scripts"]] {
        let folder = root().join(folder.as_str().expect("a path"));
        assert!(folder.join("flowgap.service").exists() && folder.join("flowgap.timer").exists());
    }
    assert_eq!(deb["systemd-units"]["enable"].as_bool(), Some(false), "a job without a configuration is not enabled");
}

#[test]
fn the_wheel_carries_the_binary_of_this_tree() {
    let folder = root().join("packaging/python");
    let project: toml::Table = file("packaging/python/pyproject.toml").parse().expect("TOML");
    let maturin = &project["tool"]["maturin"];
    assert_eq!(maturin["bindings"].as_str(), Some("bin"));
    assert_eq!(project["build-system"]["build-backend"].as_str(), Some("maturin"));
    let path = folder.join(maturin["manifest-path"].as_str().expect("a path"));
    assert_eq!(path.canonicalize().expect("a file"), root().join("Cargo.toml").canonicalize().expect("a file"));
    let profile = maturin["profile"].as_str().expect("a profile");
    assert!(manifest()["profile"].get(profile).is_some(), "{profile}");
    let name = manifest()["package"]["name"].clone();
    assert_eq!(project["project"]["name"], name);
}
