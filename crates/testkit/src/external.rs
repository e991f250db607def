//! Programs that are not ours: real MQTT clients, and how to find them.

use std::{
    env,
    io::Read,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What a foreign program did.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Exit code, `None` when it was ended at its deadline or by a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Where `program` is, on `PATH`.
#[must_use]
pub fn find_program(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// Whether a test that needs `program` can run. Where it is missing the test says so and passes on a
/// desk, but fails where `CI` is set: there everything must be there.
#[must_use]
pub fn require_program(program: &str) -> bool {
    let is_there = find_program(program).is_some();
    if !is_there {
        eprintln!("SKIPPED: `{program}` is not installed");
        assert!(env::var_os("CI").is_none(), "`{program}` is needed where CI is set");
    }
    is_there
}

/// Runs a foreign program to its end, or ends it after `limit`.
#[must_use]
pub fn run_real(command: &mut Command, limit: Duration) -> Ran {
    finish(spawn_real(command), limit)
}

/// Starts a foreign program with its output captured; wait for it with [`Running::finish`].
#[must_use]
pub fn spawn_real(command: &mut Command) -> Running {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Running(Some(command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"))))
}

/// A foreign program that runs; it is killed when dropped.
#[derive(Debug)]
pub struct Running(Option<Child>);

impl From<Child> for Running {
    fn from(child: Child) -> Self {
        Self(Some(child))
    }
}

impl Running {
    /// Waits for the end, at most `limit`, and returns what the program said.
    #[must_use]
    pub fn finish(self, limit: Duration) -> Ran {
        finish(self, limit)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // Already gone is as good as killed.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn finish(mut running: Running, limit: Duration) -> Ran {
    let mut child = running.0.take().expect("a program is finished once");
    let (mut out, mut err) =
        (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let read_out = thread::spawn(move || read_all(&mut out));
    let read_err = thread::spawn(move || read_all(&mut err));
    let deadline = Instant::now() + limit;
    let code = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break status.code();
        }
        if Instant::now() > deadline {
            drop(child.kill());
            drop(child.wait());
            break None;
        }
        thread::sleep(Duration::from_millis(5));
    };
    Ran {
        code,
        stdout: read_out.join().expect("reading does not fail"),
        stderr: read_err.join().expect("reading does not fail"),
    }
}

fn read_all(from: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    // What was read before an error is still worth showing.
    drop(from.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}
