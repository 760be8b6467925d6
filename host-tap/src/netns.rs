//! A private network namespace: a kernel to talk to that nobody else sees, without root where the system allows it.
//!
//! A process with threads cannot enter a user namespace: [`enter`] is for the beginning of `main`, [`in_child`] for a
//! process about to be started.

use crate::failure::Failure;
use crate::sys::{self, interface};
use std::ffi::CString;
use std::io;
use std::process::Command;

/// What entering takes, made ready beforehand so that the entering itself allocates nothing.
struct Plan {
    root: bool,
    /// Path and content, in the order in which the kernel wants them written.
    maps: [(CString, String); 3],
}

impl Plan {
    fn new() -> Self {
        let (uid, gid) = (sys::effective_uid(), sys::effective_gid());
        let path = |name: &str| CString::new(format!("/proc/self/{name}")).unwrap_or_default();
        Self {
            root: uid == 0,
            maps: [
                // A group map may be written by an ordinary user only once groups can no longer be dropped.
                (path("setgroups"), "deny".into()),
                (path("uid_map"), format!("0 {uid} 1")),
                (path("gid_map"), format!("0 {gid} 1")),
            ],
        }
    }

    /// Makes system calls only.
    fn enter(&self) -> io::Result<()> {
        // Root without CAP_SYS_ADMIN (in a container) goes the way of an ordinary user.
        if !self.root || sys::unshare(false, true).is_err() {
            sys::unshare(true, true)?;
            for (path, content) in &self.maps {
                sys::write_file_raw(path, content.as_bytes())?;
            }
        }
        interface::loopback_up()
    }
}

/// Moves this process, which must have one thread only, into a network namespace of its own, with its loopback up.
///
/// # Errors
/// When the system does not allow it; the line says what to do.
pub fn enter() -> Result<(), Failure> {
    Plan::new().enter().map_err(|e| cannot_enter(&e))
}

/// Lets the process that `command` starts begin in a network namespace of its own, with its loopback up.
pub fn in_child(command: &mut Command) -> &mut Command {
    let plan = Plan::new();
    sys::before_exec(command, move || plan.enter());
    command
}

/// Says why a namespace could not be made, and which command mends it.
pub fn cannot_enter(error: &io::Error) -> Failure {
    let what = Failure::io("cannot make a private network namespace", error);
    match obstacle() {
        Some(command) => what.remedy(format!("allow it: {command}; or run as root")),
        None => what.remedy("run as root (in a container: start it with --cap-add SYS_ADMIN --cap-add NET_ADMIN)"),
    }
}

/// The command that lets ordinary users make user namespaces, when a known setting forbids it.
pub fn obstacle() -> Option<&'static str> {
    let setting = |path: &str| std::fs::read_to_string(path).ok().map(|s| s.trim().to_string());
    if setting("/proc/sys/user/max_user_namespaces").as_deref() == Some("0") {
        return Some("sudo sysctl -w user.max_user_namespaces=10000");
    }
    if setting("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        return Some("sudo sysctl -w kernel.unprivileged_userns_clone=1");
    }
    if setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1") {
        return Some("sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0");
    }
    None
}

/// Whether this test runs in a private namespace already; if not, it is run there, in a process of its own.
#[cfg(test)]
macro_rules! in_namespace {
    () => {{
        fn here() {}
        let path = std::any::type_name_of_val(&here).trim_end_matches("::here");
        $crate::netns::test_in_namespace(path.split_once("::").map_or(path, |(_crate, test)| test))
    }};
}
#[cfg(test)]
pub(crate) use in_namespace;

/// The outer call starts this test binary again for the test `name` alone; there, `true` is returned and the test goes on.
#[cfg(test)]
pub(crate) fn test_in_namespace(name: &str) -> bool {
    if std::env::var_os("RINGTAP_TEST_IN_NAMESPACE").is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().expect("the test's own path"));
    command.args([name, "--exact", "--nocapture"]).env("RINGTAP_TEST_IN_NAMESPACE", "1");
    let output = in_child(&mut command).output().expect("a private namespace (see `ringtap doctor`)");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

#[cfg(test)]
mod tests {
    use crate::sys::interface::Control;

    #[test]
    fn a_private_namespace_has_a_loopback_that_is_up_and_nothing_else() {
        if !in_namespace!() {
            return;
        }
        let names: Vec<_> = std::fs::read_to_string("/proc/self/net/dev")
            .expect("the list of interfaces")
            .lines()
            .filter_map(|l| l.split_once(':').map(|(name, _)| name.trim().to_string()))
            .collect();
        assert!(names.contains(&"lo".to_string()));
        assert!(!names.contains(&"eth0".to_string()));
        assert!(Control::new().and_then(|c| c.is_up("lo")).expect("the state of lo"));
    }
}
