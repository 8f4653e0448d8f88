//! What `doctor` and messages say about a storage account: its containers, what may be done, and its clock.

use std::sync::Arc;

use chrono::{TimeDelta, Utc};

use crate::support::binary::{flowgap, root, stderr, stdout};
use crate::support::fake_storage::{Contents, Distance, Fake};
use crate::support::http::{Answer, Request};

const NAME: &str = "flowLogResourceID=/A/B/y=2026/m=05/d=01/h=00/m=00/macAddress=000D3A000001/PT1H.json";
const REFUSED: &str = "<Error><Code>AuthorizationPermissionMismatch</Code></Error>";

fn account(guard: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static) -> Fake {
    let body = std::fs::read(root().join("testdata/vnet-v4/plain.json")).expect("a sample");
    Fake::guarded(Contents { names: vec![NAME.to_owned()], bodies: vec![Arc::new(body)] }, Distance::default(), guard)
}

fn is_list_of_containers(request: &Request) -> bool {
    request.query("comp").is_some() && request.query("restype").is_none()
}

fn absent() -> Option<Answer> {
    Some(Answer::new(404, &[], "<Error><Code>ContainerNotFound</Code></Error>"))
}

#[test]
fn a_wrong_container_names_those_that_are_there() {
    let listed = ["a", "insights-logs-flowlogflowevent", "insights-metrics", "$logs", "tfstate", "web"];
    let xml: String = listed.iter().map(|name| format!("<Container><Name>{name}</Name></Container>")).collect();
    let xml = format!("<EnumerationResults><Containers>{xml}</Containers></EnumerationResults>");
    let fake = account(move |request| match is_list_of_containers(request) {
        true => Some(Answer::new(200, &[("content-type", "application/xml")], xml.clone())),
        false => absent(),
    });
    let output = flowgap(&["inspect", &format!("{}/insights-logs-flowlogevent", fake.account())]);
    assert_eq!(output.status.code(), Some(4));
    let said = stderr(&output);
    let near = "there is no such container: the account has insights-logs-flowlogflowevent, insights-metrics, ";
    assert!(said.contains(near) && said.trim_end().ends_with(" and 2 more"), "{said}");
}

#[test]
fn a_credential_that_may_not_list_containers_says_so() {
    let fake = account(|request| match is_list_of_containers(request) {
        true => Some(Answer::new(403, &[], REFUSED)),
        false => absent(),
    });
    let said = stderr(&flowgap(&["inspect", &fake.address()]));
    assert!(said.contains("there is no such container: check its name"), "{said}");
    assert!(said.contains("; the credential may not list containers"), "{said}");
}

#[test]
fn doctor_says_what_the_credential_may_do() {
    let fake = account(|_| None);
    let said = stdout(&flowgap(&["doctor", &fake.address(), "--now", "2026-05-01 01:30"]));
    let role = said.lines().find(|line| line.starts_with("ok     role ")).unwrap_or_default();
    assert!(role.ends_with("  blobs can be listed and read, as with the role Storage Blob Data Reader"), "{said}");
    let fake = account(|request| request.query("comp").is_none().then(|| Answer::new(403, &[], REFUSED)));
    let output = flowgap(&["doctor", &fake.address()]);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    let way =
        "the blobs can be listed, but not read: no permission to read: assign the role Storage Blob Data Reader on ";
    assert!(said.starts_with("CHECK  access  ") && said.contains(way), "{said}");
}

#[test]
fn doctor_compares_the_clock_with_that_of_the_service() {
    for (ahead, status, says) in [
        (0, "ok     clock", "within 5 minutes of the time of the service"),
        (20, "CHECK  clock", "minutes behind the time of the service, which refuses requests from 15 minutes on"),
        (-20, "CHECK  clock", "minutes ahead of the time of the service"),
    ] {
        let fake = account(move |request| {
            let date = (Utc::now() + TimeDelta::minutes(ahead)).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
            let listed = format!(
                "<EnumerationResults><Blobs><Blob><Name>{NAME}</Name><Properties><Last-Modified>Mon, 04 May 2026 00:00:00 GMT</Last-Modified><Etag>0x8DC000000000</Etag><Content-Length>9</Content-Length><Content-Type>application/json</Content-Type></Properties></Blob></Blobs><NextMarker></NextMarker></EnumerationResults>"
            );
            let headers = [("content-type", "application/xml"), ("date", &*date)];
            request.query("comp").map(|_| Answer::new(200, &headers, listed))
        });
        let said = stdout(&flowgap(&["doctor", &fake.address(), "--now", "2026-05-01 01:30"]));
        let line = said.lines().find(|line| line.starts_with(status)).unwrap_or_else(|| panic!("{said}"));
        assert!(line.contains(says), "{said}");
    }
}
