//! Is the program the service under whose name it is started?

use std::os::unix::fs::symlink;
use std::process::Command;

use mesh_testkit::temp_dir;
use mp169::service::Service;

#[test]
fn started_under_the_name_of_a_service_it_is_that_service() {
    let folder = temp_dir();
    for service in Service::ALL {
        let link = folder.path().join(service.name());
        symlink(env!("CARGO_BIN_EXE_mp169"), &link).unwrap();
        let version = Command::new(&link).arg("--version").output().unwrap();
        assert!(version.status.success(), "{version:?}");
        let said = String::from_utf8(version.stdout).unwrap();
        let expected = format!("{} {}\n", service.name(), env!("CARGO_PKG_VERSION"));
        assert_eq!(said, expected);
    }
}
