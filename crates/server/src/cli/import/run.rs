//! `import mosquitto`: reads the files, shows what differs and what would change, and applies it.

use std::collections::HashSet;

use serde_json::Value;

use super::acl_rules::{self, Files};
use super::findings::{Findings, Source};
use super::{Mosquitto, acl, dynsec, dynsec_rules, passwd};
use crate::cli::answer::{Answer, printable};
use crate::cli::failure::Failure;
use crate::cli::policy;
use crate::cli::session::Session;
use crate::cli::show::items;

/// Carries it out.
pub(super) async fn run(command: Mosquitto, session: &mut Session) -> Result<Answer, Failure> {
    let mut findings = Findings::default();
    let document = document(&command, &mut findings)?;
    findings.sort();
    let plan = session.post("/api/policy?dryRun=true", &document).await.map_err(with_advice)?;
    let shown = shown(&findings, &plan);
    let is_nothing = items(&plan, "changes").is_empty();
    let answer = Answer::done(with(plan.clone(), &findings), shown);
    if command.dry_run || is_nothing {
        return Ok(answer);
    }
    if session.is_for_a_person() {
        answer.say()?;
    }
    if command.strict && findings.is_about_lines() {
        let reason = "not everything can be taken over exactly, and `--strict` is given: nothing was changed";
        return Err(Failure::Missing(reason.to_owned()));
    }
    if !command.replace {
        refuse_replacement(items(&plan, "changes"))?;
    }
    // Once more by the server: somebody may have made a user of that name in between.
    let path = format!("/api/policy?dryRun=false&onlyNew={}", !command.replace);
    let done = session.post(&path, &document).await.map_err(with_advice)?;
    let count = items(&done, "changes").len();
    Ok(Answer::done(with(done, &findings), format!("{count} changes made")))
}

fn document(command: &Mosquitto, findings: &mut Findings) -> Result<Value, Failure> {
    if let Some(file) = &command.dynsec {
        let source = Source::read(file)?;
        let read = dynsec::read(&source).map_err(|it| source.malformed(it))?;
        return Ok(dynsec_rules::document(&source, &read, &command.skipped, findings));
    }
    let passwd = command.passwd.as_deref().map(Source::read).transpose()?;
    let acl = command.acl.as_deref().map(Source::read).transpose()?;
    let mut files = Files {
        passwd: None,
        acl: None,
        skipped: &command.skipped,
        certificate_users: command.certificate_users,
    };
    if let Some(source) = &passwd {
        let read = passwd::read(source).map_err(|it| source.malformed(it))?;
        files.passwd = Some((source, read));
    }
    if let Some(source) = &acl {
        files.acl = Some((source, acl::read(source).map_err(|it| source.malformed(it))?));
    }
    Ok(acl_rules::document(&files, findings))
}

/// A user of the files may stand in the way of one that is here, most often `admin`.
fn with_advice(failure: Failure) -> Failure {
    match failure {
        Failure::Refused(problem) if problem.status == 409 => Failure::Missing(format!(
            "{problem}; `--skip NAME` leaves a user of the files out; nothing was changed"
        )),
        other => other,
    }
}

fn shown(findings: &Findings, plan: &Value) -> String {
    let mut lines = Vec::new();
    if !findings.is_empty() {
        lines.push("not as it was there:".to_owned());
        lines.extend(findings.lines().iter().map(|line| printable(line)));
        lines.push(String::new());
    }
    lines.push(policy::difference(plan));
    lines.join("\n")
}

fn with(mut answer: Value, findings: &Findings) -> Value {
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("differences".to_owned(), findings.to_json());
    }
    answer
}

/// What is there already may belong to somebody else: an import takes nothing over unasked.
fn refuse_replacement(changes: &[Value]) -> Result<(), Failure> {
    let name = |change: &Value| {
        let target = change.get("target")?;
        let of = |kind: &str| Some(format!("{kind} `{}`", target.get(kind)?.as_str()?));
        of("user").or_else(|| of("role"))
    };
    let action = |change: &Value| change.get("action").and_then(Value::as_str).map(str::to_owned);
    let is_new = |change: &&Value| action(change).is_some_and(|action| action.ends_with(".create"));
    let made: HashSet<_> = changes.iter().filter(is_new).filter_map(name).collect();
    let mut there: Vec<_> = changes.iter().filter_map(name).collect();
    there.retain(|name| !made.contains(name));
    there.dedup();
    if there.is_empty() {
        return Ok(());
    }
    Err(Failure::Missing(format!(
        "there already: {}; `--skip NAME` leaves a user as it is, `--replace` gives it the rights and the password of the files; \
         nothing was changed",
        there.join(", ")
    )))
}

/// What is said wherever there is a right to read.
pub(super) const SUBSCRIPTIONS: &str = "a SUBSCRIBE to more than its user may read is refused here, where Mosquitto may grant it and keep messages back: \
     a client that subscribes to `#` must ask for what it may have (`explain USER read FILTER`)";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_there_already_is_replaced_only_where_that_is_asked_for() {
        let change = |action: &str, kind: &str, name: &str| json!({"action": action, "target": { kind: name, "id": "1" }});
        let new = [
            change("role.create", "role", "patterns"),
            change("user.create", "user", "alice"),
            change("user.password", "user", "alice"),
        ];
        assert!(refuse_replacement(&new).is_ok());
        for old in [
            change("user.update", "user", "admin"),
            change("user.password", "user", "admin"),
            change("role.update", "role", "admin"),
        ] {
            let all = [&new[..], &[old]].concat();
            let refused = refuse_replacement(&all).unwrap_err().to_string();
            assert!(refused.contains("`admin`") && !refused.contains("alice"), "{refused}");
        }
    }
}
