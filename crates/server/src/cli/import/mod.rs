//! `import`: the users and rules of another broker as a policy document, applied like one.
//!
//! Two things hold throughout. Nothing gets wider: what cannot be said here exactly is left out, or said so that less is
//! allowed. And nothing of that is silent: each is listed with the file and line it comes from.

mod acl;
mod acl_rules;
mod dynsec;
mod dynsec_rules;
mod findings;
mod object;
mod passwd;
mod resource;
mod run;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::answer::Answer;
use super::failure::Failure;
use super::session::Session;

/// `import …`
#[derive(Debug, Subcommand)]
pub(super) enum ImportCommand {
    /// Take over the users and rules of a Mosquitto broker
    Mosquitto(Box<Mosquitto>),
}

/// What `import mosquitto` takes.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("source").required(true).multiple(true))]
pub(super) struct Mosquitto {
    /// Its password file (`password_file`), made by `mosquitto_passwd`
    #[arg(long, value_name = "FILE", group = "source")]
    passwd: Option<PathBuf>,
    /// Its rules (`acl_file`)
    #[arg(long, value_name = "FILE", group = "source")]
    acl: Option<PathBuf>,
    /// The file of its dynamic security plugin (JSON)
    #[arg(long, value_name = "FILE", group = "source", conflicts_with_all = ["passwd", "acl"])]
    dynsec: Option<PathBuf>,
    /// Leave this user out
    #[arg(long = "skip", value_name = "NAME")]
    skipped: Vec<String>,
    /// Make the users that have rules but no password, to log in by certificate
    #[arg(long, requires = "acl")]
    certificate_users: bool,
    /// Also change users and roles that are there already
    #[arg(long)]
    replace: bool,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    /// Change nothing if any line cannot be taken over exactly
    #[arg(long)]
    strict: bool,
}

impl ImportCommand {
    /// Carries it out.
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        match self {
            ImportCommand::Mosquitto(command) => run::run(*command, session).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use testkit::Random;

    use super::findings::{Findings, Source};
    use super::{acl, acl_rules, dynsec, dynsec_rules, passwd};

    const PASSWD: &str = "alice:$7$101$c29tZXNhbHQ=$RdescudvJCsgt3ub+b4dWRWJTmaaJObG\n# x\nbob:$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4\n";
    const ACL: &str =
        "topic a\nuser alice\ntopic deny $SYS/#\npattern read %u/x-%c/+\ntopic readwrite ${a}/#\n";
    const DYNSEC: &str = r#"{"defaultACLAccess":{"subscribe":true},"clients":[{"username":"alice","password":"RdescudvJCsgt3ub+b4dWRWJTmaaJObG","salt":"c29tZXNhbHQ=","iterations":101,"roles":[{"rolename":"r"}]}],"groups":[{"groupname":"g","clients":[{"username":"alice"}]}],
"roles":[{"rolename":"r","acls":[{"acltype":"subscribePattern","topic":"%u/#","priority":-5,"allow":true}]}]}"#;

    /// Some bytes changed, put in or taken out; what is no text is left to [`Source::read`].
    fn mutated(random: &mut Random, text: &str) -> Source {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len());
            let byte = b"\n :$/#+%{\"9-\0"[random.below(13)];
            match random.below(3) {
                0 => drop(bytes.remove(at)),
                1 => bytes.insert(at, byte),
                _ => bytes[at] = byte,
            }
        }
        Source::of("file", String::from_utf8_lossy(&bytes))
    }

    #[test]
    fn no_file_makes_a_reader_panic() {
        let mut random = Random::new(8);
        let good = Source::of("good", PASSWD);
        let (mut read, mut refused) = (0, 0);
        for _ in 0..3000 {
            let mut findings = Findings::default();
            let (users, rules) = (mutated(&mut random, PASSWD), mutated(&mut random, ACL));
            let plugin = mutated(&mut random, DYNSEC);
            refused += usize::from(passwd::read(&users).is_err());
            if let (Ok(users_read), Ok(rules_read)) = (passwd::read(&good), acl::read(&rules)) {
                let files = acl_rules::Files {
                    passwd: Some((&good, users_read)),
                    acl: Some((&rules, rules_read)),
                    skipped: &[],
                    certificate_users: true,
                };
                drop(acl_rules::document(&files, &mut findings));
                read += 1;
            }
            match dynsec::read(&plugin) {
                Ok(file) => drop(dynsec_rules::document(&plugin, &file, &[], &mut findings)),
                Err(malformed) => {
                    assert!((1..=7).contains(&malformed.line), "{malformed:?}");
                    refused += 1;
                }
            }
        }
        assert!(read > 100 && refused > 100, "{read} {refused}");
    }
}
