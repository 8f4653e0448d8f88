//! The same traffic logged twice, and the name of an NSG as a column.

use crate::cases::{A, SQL, SUBNET, TAG_FILE, day, deny_sql, run_over};
use crate::support::archive::{Log, PLATFORM_ACL, hours, outbound};
use crate::support::binary::{flowgap, stdout};

#[test]
fn nsg_and_vnet_logs_of_the_same_hours_are_noticed() {
    let mut log = day(&["APIM-OUT-SQL"]);
    deny_sql(&mut log, 0..24);
    let (vnet, nsg) = (log.write(), log.as_nsg().write());
    let arguments = ["--subnet", SUBNET, "--service-tags", TAG_FILE];
    let double = run_over(&[vnet.path(), nsg.path()], &arguments);
    assert_eq!(double.status, Some(1), "{}", double.summary());
    double.expect_notice("double-captured");
    // One after the other is a change of product.
    let mut later = Log::nsg();
    later.allowed(outbound(hours(48), A, SQL, 1433));
    let later = later.write();
    assert_eq!(run_over(&[vnet.path(), later.path()], &arguments).notice("double-captured"), None);
    // Another interface in the same hours is none either.
    let mut other = Log::nsg();
    other.allowed(outbound(hours(5), "10.30.1.77", SQL, 1433));
    let other = other.write();
    assert_eq!(run_over(&[vnet.path(), other.path()], &arguments).notice("double-captured"), None);
}

#[test]
fn the_nsg_is_the_last_part_of_the_acl() {
    let mut log = Log::vnet();
    log.begun(outbound(0, A, SQL, 1433));
    log.begun(outbound(0, A, SQL, 1433).rule("PlatformRule").acl(PLATFORM_ACL));
    log.begun(outbound(0, A, SQL, 1433).rule("unspecified").acl("unspecified"));
    let (vnet, mut nsg) = (log.write(), Log::nsg());
    nsg.begun(outbound(0, A, SQL, 1433));
    let nsg = nsg.write();
    let names = |folder: &tempfile::TempDir| {
        let folder = folder.path().to_str().expect("UTF-8");
        let query = "SELECT DISTINCT nsg FROM flows ORDER BY nsg";
        stdout(&flowgap(&["sql", folder, "-c", query, "--format", "csv"])).replace('\r', "")
    };
    assert_eq!(names(&vnet), format!("nsg\n{PLATFORM_ACL}\nnsg-apim-example\nunspecified\n"));
    assert_eq!(names(&nsg), "nsg\nNSG-APIM-EXAMPLE\n");
}
