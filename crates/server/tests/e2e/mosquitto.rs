//! A running Mosquitto, to be asked the same as the broker under test.

use std::fmt::Write;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use testkit::{eventually, run_real};

/// The process; it is killed when dropped.
pub(crate) struct Mosquitto {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Mosquitto {
    /// Starts one with these lines in its configuration.
    pub(crate) fn start(directory: &Path, settings: &str) -> Mosquitto {
        // Nothing else is going to take the port in this moment; if it does, another one is tried.
        for _ in 0..5 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let file = directory.join("mosquitto.conf");
            let port = address.port();
            let log = directory.join(format!("mosquitto.{port}.log"));
            let text = format!(
                "listener {port} 127.0.0.1\nuser root\nallow_anonymous false\nlog_dest file {}\n{settings}",
                log.display()
            );
            fs::write(&file, text).unwrap();
            let mut command = Command::new(program());
            command.arg("-c").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
            let mut mosquitto = Mosquitto { address, child: command.spawn().unwrap() };
            let mut has_ended = false;
            // Its own word, not a connection: somebody else might have taken the port.
            eventually("Mosquitto runs", || {
                has_ended = mosquitto.child.try_wait().unwrap().is_some();
                has_ended || fs::read_to_string(&log).is_ok_and(|log| log.contains(" running"))
            });
            if !has_ended {
                return mosquitto;
            }
        }
        panic!("Mosquitto does not start with: {settings}");
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Whether Mosquitto and its tools are here.
pub(crate) fn is_here() -> bool {
    let is_here = program().is_file() && testkit::find_program("mosquitto_passwd").is_some();
    if !is_here {
        eprintln!("SKIPPED: `mosquitto` is not installed");
        assert!(std::env::var_os("CI").is_none(), "`mosquitto` is needed where CI is set");
    }
    is_here
}

/// The dynamic security plugin of Debian's package.
pub(crate) fn plugin() -> PathBuf {
    let mut places = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let plugin = places.find_map(|place| {
        let plugin = place.join("mosquitto_dynamic_security.so");
        plugin.is_file().then_some(plugin)
    });
    plugin.expect("the plugin comes with Mosquitto")
}

/// Where daemons are is not on everybody's path.
fn program() -> PathBuf {
    let found = testkit::find_program("mosquitto");
    found.unwrap_or_else(|| PathBuf::from("/usr/sbin/mosquitto"))
}

/// A password file with `NAME-password` for each, made by `mosquitto_passwd`, with one of its options each.
pub(crate) fn password_file(file: &Path, names: &[&str]) {
    fs::write(file, "").unwrap();
    for (name, options) in names.iter().zip(OPTIONS.iter().cycle()) {
        let mut command = Command::new("mosquitto_passwd");
        command.args(*options).arg("-b").arg(file).args([*name, &format!("{name}-password")]);
        let ran = run_real(&mut command, Duration::from_secs(30));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    }
}

/// The hash of each name in a password file.
pub(crate) fn hash(file: &Path, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap().to_owned()
}

/// The lines of a configuration that name a file.
pub(crate) fn files(files: &[(&str, &Path)]) -> String {
    let mut lines = String::new();
    for (name, file) in files {
        writeln!(lines, "{name} {}", file.display()).unwrap();
    }
    lines
}

const OPTIONS: [&[&str]; 3] = [&[], &["-H", "sha512"], &["-I", "2000"]];
