//! The broker as a process: its own data directory, free ports, killed when the test ends.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    client::PATIENCE,
    external::{Ran, Running},
    http::{self, Reply},
};

/// How a broker is started.
#[derive(Clone, Debug)]
pub struct BrokerSetup {
    binary: PathBuf,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    /// A program that runs the broker, with its arguments.
    around: Vec<String>,
}

impl BrokerSetup {
    /// The program at `binary`, with an MQTT listener on a free port of 127.0.0.1 and all others off.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        let listeners = [
            ("COUNTERSIGN_LISTENERS_MQTT", "127.0.0.1:0"),
            ("COUNTERSIGN_LISTENERS_MQTTS", "off"),
            ("COUNTERSIGN_LISTENERS_HTTPS", "off"),
            ("COUNTERSIGN_LISTENERS_WS", "off"),
        ];
        let environment = listeners.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        Self { binary: binary.into(), environment, arguments: Vec::new(), around: Vec::new() }
    }

    /// With one more environment variable; a later one wins.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// With one more argument after `serve --data-dir DIR`.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// `serve` is run by this program: the broker's own program and arguments follow these words.
    #[must_use]
    pub fn run_by(mut self, words: &[&str]) -> Self {
        self.around = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    fn serve_command(&self, data_dir: &Path) -> Command {
        let plain = self.command(data_dir);
        let Some((program, words)) = self.around.split_first() else { return plain };
        let mut command = Command::new(program);
        command.args(words).arg(plain.get_program()).args(plain.get_args());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// A command of the program on `data_dir`, with a clean environment and this setup's variables.
    #[must_use]
    pub fn command(&self, data_dir: &Path) -> Command {
        let mut command = Command::new(&self.binary);
        for (name, _) in env::vars_os() {
            let name_text = name.to_string_lossy();
            if name_text.starts_with("COUNTERSIGN_") || name_text.starts_with("CYBUS_") {
                command.env_remove(&name);
            }
        }
        command.envs(self.environment.iter().map(|(k, v)| (k, v)));
        command.arg("--data-dir").arg(data_dir);
        command
    }

    /// Runs `serve` on `data_dir` and waits until it ends by itself, as it must when it cannot start.
    #[must_use]
    pub fn serve_to_the_end(&self, data_dir: &Path) -> CliRun {
        let mut command = self.serve_command(data_dir);
        command.arg("serve").args(&self.arguments);
        run(command, None)
    }

    /// Starts the broker on a new data directory.
    #[must_use]
    pub fn start(self) -> BrokerProcess {
        let parent = tempfile::Builder::new().prefix("countersign-test-").tempdir();
        let parent = parent.expect("a temporary directory");
        let data_dir = parent.path().join("data");
        let stderr = Arc::new(Mutex::new(String::new()));
        let running = spawn(&self, &data_dir, &stderr);
        BrokerProcess { running, setup: self, data_dir, stderr, _parent: parent }
    }
}

/// What one run of the command line gave.
#[derive(Clone, Debug)]
pub struct CliRun {
    /// Exit code, `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl CliRun {
    /// The same, after a check that the command succeeded.
    #[must_use]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "the command failed: {}{}", self.stdout, self.stderr);
        self
    }

    /// Standard output as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("not JSON ({e}): {}{}", self.stdout, self.stderr))
    }
}

struct Served {
    child: Child,
    ready: String,
}

/// A running broker.
pub struct BrokerProcess {
    running: Served,
    setup: BrokerSetup,
    data_dir: PathBuf,
    stderr: Arc<Mutex<String>>,
    // Removed with everything in it when the test ends.
    _parent: TempDir,
}

impl BrokerProcess {
    /// Starts the program at `binary` with the usual setup.
    #[must_use]
    pub fn start(binary: &str) -> Self {
        BrokerSetup::new(binary).start()
    }

    /// Kills the process as a power cut would (SIGKILL) and starts it again on the same data directory.
    pub fn kill_and_restart(&mut self) {
        self.kill();
        self.begin();
    }

    /// Kills the process as a power cut would (SIGKILL).
    pub fn kill(&mut self) {
        self.running.child.kill().expect("the broker can be killed");
        self.running.child.wait().expect("the broker ends");
    }

    /// Lets no file of the process grow beyond this, as a full disk would; `None` takes that back.
    pub fn limit_file_size(&self, bytes: Option<u64>) {
        let id = i32::try_from(self.running.child.id()).expect("a process id");
        let process = rustix::process::Pid::from_raw(id).expect("a process id is not zero");
        let limit = rustix::process::Rlimit { current: bytes, maximum: None };
        rustix::process::prlimit(Some(process), rustix::process::Resource::Fsize, limit)
            .expect("the own process can be limited");
    }

    /// Lets the process open no more files than it has open now, or as many as it likes again.
    pub fn limit_open_files(&self, is_limited: bool) {
        let id = i32::try_from(self.running.child.id()).expect("a process id");
        let process = rustix::process::Pid::from_raw(id).expect("a process id is not zero");
        let open = fs::read_dir(format!("/proc/{id}/fd")).expect("the broker runs");
        let highest =
            open.filter_map(|it| it.ok()?.file_name().to_str()?.parse::<u64>().ok()).max();
        let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
        let current = if is_limited { highest.map(|it| it + 1) } else { hard };
        let limit = rustix::process::Rlimit { current, maximum: hard };
        rustix::process::prlimit(Some(process), rustix::process::Resource::Nofile, limit)
            .expect("the own process can be limited");
    }

    /// Starts it again on the same data directory.
    pub fn begin(&mut self) {
        self.running = spawn(&self.setup, &self.data_dir, &self.stderr);
    }

    /// Stops the process in order (SIGTERM) and starts it again on the same data directory.
    pub fn restart(&mut self) {
        let status = self.terminate();
        assert!(status.success(), "a stop in order ends with {status}");
        self.running = spawn(&self.setup, &self.data_dir, &self.stderr);
    }

    /// Sends SIGHUP, which is to change nothing.
    pub fn hang_up(&self) {
        self.signal(rustix::process::Signal::HUP);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.running.child.id()).expect("a process id");
        let process = rustix::process::Pid::from_raw(id).expect("a process id is not zero");
        rustix::process::kill_process(process, signal).expect("signalled");
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        let mut status = None;
        eventually("the broker ends after SIGTERM", || {
            status = self.running.child.try_wait().expect("a child can be waited for");
            status.is_some()
        });
        status.expect("just seen")
    }

    /// Where the plain MQTT listener is.
    #[must_use]
    pub fn mqtt(&self) -> SocketAddr {
        self.listener("mqtt").expect("the plain MQTT listener is open")
    }

    /// Where the listener of this name is; `None` if it is not open.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<SocketAddr> {
        let mut words = self.running.ready.split(' ').filter_map(|word| word.split_once('='));
        words.find(|(key, _)| *key == name).and_then(|(_, address)| address.parse().ok())
    }

    /// The process.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.running.child.id()
    }

    /// The ready line as printed.
    #[must_use]
    pub fn ready_line(&self) -> &str {
        &self.running.ready
    }

    /// The data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Everything written to standard error so far, by every start of this broker.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.lock().expect("not poisoned").clone()
    }

    /// The lines of standard error that hold every one of `needles`, as soon as there is one.
    #[must_use]
    pub fn log_lines(&self, needles: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        let holds = |line: &&str| needles.iter().all(|needle| line.contains(needle));
        eventually(&format!("a log line with {needles:?}"), || {
            found = self.stderr().lines().filter(holds).map(str::to_owned).collect();
            !found.is_empty()
        });
        found
    }

    /// Resident memory in KiB.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.running.child.id()));
        let status = status.expect("the broker runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
    }

    /// Files and sockets that the process has open.
    #[must_use]
    pub fn open_files(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.running.child.id()));
        open.expect("the broker runs").count()
    }

    /// The processor time that the process has used so far, in all its threads.
    #[must_use]
    pub fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.running.child.id()));
        let stat = stat.expect("the broker runs");
        // Behind the program's name, which may hold anything: the 14th and 15th field, in hundredths of a second.
        let fields = stat.rsplit(')').next().expect("a name").split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.map(|field| field.parse::<u64>().expect("a number")).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Runs the command line against this broker.
    #[must_use]
    pub fn cli(&self, arguments: &[&str]) -> CliRun {
        self.cli_with_input(arguments, None)
    }

    /// The same with a text on standard input.
    #[must_use]
    pub fn cli_with_input(&self, arguments: &[&str], input: Option<&str>) -> CliRun {
        let mut command = self.setup.command(&self.data_dir);
        command.args(arguments);
        run(command, input)
    }

    /// Runs the command line with `--json`, checks that it succeeds, and returns what it printed.
    #[must_use]
    pub fn cli_json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--json"]].concat();
        self.cli(&arguments).ok().json()
    }

    /// Adds a user through the command line, with a password and more arguments.
    pub fn add_user(&self, name: &str, password: &str, more: &[&str]) {
        let arguments = [&["user", "add", name, "--password-stdin"], more].concat();
        let _printed = self.cli_with_input(&arguments, Some(&format!("{password}\n"))).ok();
    }

    /// Sends one request to the admin socket.
    #[must_use]
    pub fn request(&self, method: &str, target: &str, body: Option<&Value>) -> Reply {
        http::request(&self.data_dir.join("admin.sock"), method, target, body)
    }

    /// Adds a user through the admin socket; faster than the command line. `more` is merged into the body.
    pub fn post_user(&self, name: &str, password: &str, more: &Value) -> Value {
        let mut body = json!({
            "username": name,
            "password": password,
            "grantTypes": [{"method": "password", "isRequired": false}],
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        let reply = self.request("POST", "/api/users", Some(&body));
        assert_eq!(reply.status, 201, "{body} gave {}", reply.body);
        reply.body
    }

    /// What `explain` answers over the admin socket.
    #[must_use]
    pub fn explain(&self, user: &str, operation: &str, resource: &str, client_id: &str) -> Value {
        let target = format!(
            "/api/explain?user={}&operation={operation}&resource={}&clientId={}",
            http::query_escape(user),
            http::query_escape(resource),
            http::query_escape(client_id),
        );
        let reply = self.request("GET", &target, None);
        assert_eq!(reply.status, 200, "{target} gave {}", reply.body);
        reply.body
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        drop(self.running.child.kill());
        drop(self.running.child.wait());
        if thread::panicking() {
            let log = self.stderr();
            let lines: Vec<&str> = log.lines().rev().take(60).collect();
            eprintln!("the broker's last lines, newest first:\n{}", lines.join("\n"));
        }
    }
}

/// Polls `holds` until it is true, and fails the test when that takes too long.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Makes room for so many open files in this process and those that it starts from now on.
pub fn raise_file_limit(count: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let count = u64::try_from(count).expect("fits");
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < count) {
        let raised = Rlimit { current: Some(count), maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).expect("the hard limit on open files is high enough");
    }
}

fn spawn(setup: &BrokerSetup, data_dir: &Path, stderr: &Arc<Mutex<String>>) -> Served {
    let mut command = setup.serve_command(data_dir);
    command.arg("serve").args(&setup.arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the broker starts");
    let errors = child.stderr.take().expect("piped");
    let log = Arc::clone(stderr);
    thread::spawn(move || {
        for line in BufReader::new(errors).lines().map_while(Result::ok) {
            let mut log = log.lock().expect("not poisoned");
            log.push_str(&line);
            log.push('\n');
        }
    });
    let output = child.stdout.take().expect("piped");
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Nobody listens after the ready line; reading on keeps the pipe from filling.
            drop(sender.send(line));
        }
    });
    let Ok(ready) = lines.recv_timeout(3 * PATIENCE) else {
        drop(child.kill());
        drop(child.wait());
        panic!("no ready line; the log: {}", stderr.lock().expect("not poisoned"));
    };
    Served { child, ready }
}

fn run(mut command: Command, input: Option<&str>) -> CliRun {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.spawn().expect("the program starts");
    if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
        // A program that refuses early closes its input.
        drop(pipe.write_all(input.as_bytes()));
    }
    let Ran { code, stdout, stderr } = Running::from(child).finish(3 * PATIENCE);
    CliRun { code, stdout, stderr }
}
