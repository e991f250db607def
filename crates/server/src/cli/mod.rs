//! The command line: what may be said, and every command but `serve` and `bench`.
//!
//! All others talk HTTP to a running server, so that what they may and may not do is decided in one place.
//! A command answers with an [`answer::Answer`] and prints nothing itself: what a person reads, what `--json`
//! prints and the exit code are made here. Exit codes: 0 done, 1 refused or failed, 2 wrong usage.

mod answer;
mod audit;
mod budget;
mod cert;
mod client;
mod connection;
mod dry_run;
mod edit;
mod explain;
mod failure;
mod http;
mod import;
mod lock;
mod password;
mod permission;
mod policy;
mod refusals;
mod registry;
mod role;
mod session;
mod show;
mod table;
mod tls;
mod token;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use self::answer::{Answer, Form};
use self::connection::{Target, TokenNeed};
use self::failure::Failure;
use self::session::Session;
use self::tls::Trust;
use crate::bench::Bench;

/// An MQTT broker that knows who is speaking.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, arg_required_else_help = true)]
#[command(disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: GlobalOptions,
    #[command(subcommand)]
    command: Command,
}

/// Options that every command takes, before or after its name.
#[derive(Debug, Clone, Args)]
pub(crate) struct GlobalOptions {
    /// Data directory of the server; the commands use its `admin.sock`
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "DIR", env = "COUNTERSIGN_DATA_DIR")]
    #[arg(default_value = DATA_DIR_DEFAULT)]
    data_dir: PathBuf,
    /// Talk to the server at this address instead, with a token
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "URL", env = "COUNTERSIGN_URL")]
    url: Option<String>,
    /// Bearer token for `--url`
    #[arg(
        long,
        global = true, help_heading = GLOBAL,
        value_name = "TOKEN",
        env = "COUNTERSIGN_TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
    /// Trust the authorities of this PEM file, and no other, to name the server of `--url`
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "FILE", env = "COUNTERSIGN_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// Print the REST object, or an array of them, as JSON
    #[arg(long, global = true, help_heading = GLOBAL)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the broker
    Serve(ServeArgs),
    /// Measure a broker, this one or any other
    Bench(Bench),
    #[command(flatten)]
    Ask(AskCommand),
}

#[derive(Debug, Subcommand)]
enum AskCommand {
    /// Users: the identities that log in
    #[command(subcommand)]
    User(user::UserCommand),
    /// Roles: named sets of permissions
    #[command(subcommand)]
    Role(role::RoleCommand),
    /// Certificates: issue, sign, list, revoke
    #[command(subcommand)]
    Cert(cert::CertCommand),
    /// Log in by user name and password, and print a bearer token for `--token`
    Login(token::Login),
    /// Bearer tokens of users
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Users and addresses that too many failed logins have locked
    #[command(subcommand)]
    Lock(lock::LockCommand),
    /// Clients that ask to be let in: unlock the registry, and decide
    #[command(subcommand)]
    Registry(registry::RegistryCommand),
    /// MQTT clients that are connected or have a session
    #[command(subcommand)]
    Client(client::ClientCommand),
    /// Say whether a user may read or write a topic, or why something was refused; exits 0 for allow, 1 for deny
    Explain(explain::Explain),
    /// What clients were refused lately, and logins that were; `explain --decision` says more of one
    Refusals(refusals::Refusals),
    /// Make users and roles what a policy file says, all or nothing
    Apply(policy::apply::Apply),
    /// Print all users and roles as a policy file
    Export(policy::export::Export),
    /// Take over the users and rules of another broker, all or nothing
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Who did what, and which logins were refused
    Audit(audit::Audit),
}

/// What `countersign serve` was called with.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ServeArgs {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print the effective configuration and exit
    #[arg(long)]
    pub(crate) check: bool,
    /// The global `--data-dir`.
    #[arg(skip)]
    pub(crate) data_dir: PathBuf,
}

/// What the process is to do: be the server, measure one, or ask one.
#[derive(Debug)]
pub(crate) enum Action {
    /// `countersign serve`
    Serve(ServeArgs),
    /// `countersign bench`, and whether its result is to be JSON
    Bench(Box<Bench>, bool),
    /// Every other command.
    Ask(Box<Ask>),
}

/// One command for a running server, and how to reach that.
#[derive(Debug)]
pub(crate) struct Ask {
    global: GlobalOptions,
    command: AskCommand,
}

impl Cli {
    /// Splits the one command that is the server off from those that talk to one.
    pub(crate) fn into_action(self) -> Action {
        let Cli { global, command } = self;
        match command {
            Command::Serve(args) => Action::Serve(ServeArgs { data_dir: global.data_dir, ..args }),
            Command::Bench(bench) => Action::Bench(Box::new(bench), global.json),
            Command::Ask(command) => Action::Ask(Box::new(Ask { global, command })),
        }
    }
}

impl Ask {
    /// Carries the command out, prints its answer, and returns the exit code.
    pub(crate) fn run(self) -> ExitCode {
        let form = if self.global.json { Form::Json } else { Form::Text };
        let answered = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Failure::Runtime)
            .and_then(|runtime| runtime.block_on(self.answer(form)));
        match answered.and_then(|answer| answer.print(form)) {
            Ok(code) => code,
            Err(failure) => failure.report(),
        }
    }

    async fn answer(self, form: Form) -> Result<Answer, Failure> {
        let Ask { global, command } = self;
        let GlobalOptions { url, token, data_dir, ca_file, .. } = global;
        let ca_file = ca_file.filter(|file| !file.as_os_str().is_empty());
        let need = match command {
            AskCommand::Login(_) => TokenNeed::None,
            _ => TokenNeed::Bearer,
        };
        let target = Target::resolve(url, token, Trust { ca_file, data_dir }, need)?;
        let mut session = Session::new(target, form);
        match command {
            AskCommand::User(command) => command.run(&mut session).await,
            AskCommand::Role(command) => command.run(&mut session).await,
            AskCommand::Cert(command) => command.run(&mut session).await,
            AskCommand::Login(command) => command.run(&mut session).await,
            AskCommand::Token(command) => command.run(&mut session).await,
            AskCommand::Lock(command) => command.run(&mut session).await,
            AskCommand::Registry(command) => command.run(&mut session).await,
            AskCommand::Client(command) => command.run(&mut session).await,
            AskCommand::Explain(command) => command.run(&mut session).await,
            AskCommand::Refusals(command) => command.run(&mut session).await,
            AskCommand::Apply(command) => command.run(&mut session).await,
            AskCommand::Export(command) => command.run(&mut session).await,
            AskCommand::Import(command) => command.run(&mut session).await,
            AskCommand::Audit(command) => command.run(&mut session).await,
        }
    }
}

/// Keeps the options of a command apart from those of every command in its help.
const GLOBAL: &str = "Options of every command";
/// Where `serve` keeps its data unless told otherwise.
const DATA_DIR_DEFAULT: &str = "./countersign-data";

#[cfg(test)]
mod tests;
