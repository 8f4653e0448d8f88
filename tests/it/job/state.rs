//! The state: damaged, newer, without permission, on a full disk.

use super::*;

#[test]
fn a_state_that_cannot_be_read_is_kept_and_named() {
    let job = Job::over(&days_of_sql(), "");
    job.day(2, 1, "this is the first run");
    let file = job.path("state/apim.state.json");
    let whole = std::fs::read_to_string(&file).expect("a state");
    let newer = whole.replace("flowgap.state/1", "flowgap.state/2");
    let surplus = whole.replacen('{', "{\"later\": 1,", 1);
    for damaged in [&whole[..whole.len() / 2], "", "[]", &newer, &surplus] {
        std::fs::write(&file, damaged).expect("written");
        let said = job.day(3, 4, "the state apim.state.json cannot be read: ");
        assert!(said.contains("use that one") && said.contains("move it away"), "{said}");
        assert_eq!(std::fs::read_to_string(&file).expect("kept"), damaged);
    }
    std::fs::write(&file, &whole).expect("written");
    job.day(3, 1, "1 continuing");
    std::fs::remove_file(&file).expect("removed");
    job.day(3, 1, "this is the first run");
}

#[test]
fn a_state_without_a_place_is_an_error() {
    let job = Job::over(&days_of_sql(), "");
    let state = job.path("state");
    std::fs::write(&state, "").expect("a file");
    job.day(2, 4, &format!("{}: ", state.display()));
    for (address, says) in [
        ("https://examplelogs.blob.core.windows.net?sig=S3CR3T", "name one container"),
        ("ftp://examplelogs/c?sig=S3CR3T", "state"),
    ] {
        job.configure(&job.text("").replace(&state.display().to_string(), address));
        job.day(2, 4, says);
    }
}

/// Root may write anywhere, so this runs as another user where that is possible.
#[cfg(unix)]
#[test]
fn a_folder_without_permission_is_an_error() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let job = Job::over(&days_of_sql(), "");
    let state = job.path("state");
    std::fs::create_dir(&state).expect("a folder");
    std::fs::set_permissions(&state, PermissionsExt::from_mode(0o555)).expect("set");
    std::fs::set_permissions(job.folder.path(), PermissionsExt::from_mode(0o755)).expect("set");
    let mut run = job.command(hours(72), &[]);
    if std::fs::write(state.join("probe"), "").is_ok() {
        std::fs::remove_file(state.join("probe")).expect("removed");
        run.uid(65_534);
    }
    match run.output() {
        Ok(output) => drop(expect(&output, 4, "Permission denied")),
        Err(error) => println!("not tried, because this user cannot start the binary as another one: {error}"),
    }
}

/// A limit on the size of files stands for a full disk: a write fails in the middle.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_last_state_and_loses_no_change() {
    let hook = Hook::start(200);
    let job = Job::over(&days_of_sql(), &hook.table("webhook"));
    job.day(0, 0, "this is the first run");
    let before = job.state();
    let run = job.command(hours(72), &[]);
    let mut limited = crate::support::binary::program("sh");
    limited.current_dir(crate::support::binary::root());
    // Of 512 bytes; the signal would end the program before it sees the error.
    limited.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\"", "sh"]).arg(run.get_program()).args(run.get_args());
    let output = limited.output().expect("sh");
    expect(&output, 4, "File too large");
    assert!(hook.take().is_empty());
    assert_eq!(job.state(), before);
    job.day(2, 1, "1 new");
    assert_eq!(hook.take().len(), 1);
    let left: Vec<String> = entries(&job.path("state")).into_iter().filter(|name| name.contains(".tmp")).collect();
    assert!(left.is_empty(), "{left:?}");
}
