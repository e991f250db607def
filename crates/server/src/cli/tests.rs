//! The grammar of the command line, and whole commands against a scripted server.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use clap::CommandFactory;
use serde_json::{Value, json};

use super::*;

/// Whether `line` is a command, and what a shell learns if not.
fn check(line: &str, exit_code: i32) {
    let words = std::iter::once("countersign").chain(line.split_whitespace());
    let code = match Cli::try_parse_from(words) {
        Ok(_) => 0,
        Err(error) => error.exit_code(),
    };
    assert_eq!(code, exit_code, "{line}");
}

#[test]
fn the_grammar_has_no_contradictions() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_of_the_manual_is_understood() {
    for line in [
        "serve",
        "serve --config f.toml --data-dir d --check",
        "user add bob --password-stdin",
        "user add bob --certificate --role a --role b --allow read:a/# --deny write:a --publish-prefix p/",
        "user list",
        "user show bob",
        "user set bob --publish-prefix p/ --role a --no-role b --allow read:a --deny http:write:/x --revoke mqtt:read:b",
        "user set bob --no-publish-prefix",
        "user set bob --grant-type password --grant-type certificate:required",
        "user passwd bob --password-stdin",
        "user passwd bob --password-stdin --second --expires-in-hours 24",
        "user enable bob",
        "user disable bob",
        "user remove bob",
        "role add a --allow readWrite:x/# --deny read:y",
        "role list",
        "role show a",
        "role set a --name b --allow read:a --deny read:b --revoke read:c",
        "role remove a",
        "cert issue bob --out d",
        "cert issue bob --out d --days 30 --p12 --p12-password-stdin --force",
        "cert sign bob.csr --user bob",
        "cert sign - --user bob --out bob.crt --days 1 --force",
        "cert list",
        "cert list --user bob --expiring-within-days 30",
        "cert revoke AB:CD",
        "cert ca",
        "client list",
        "client kick bob c1",
        "explain bob read a/#",
        "explain bob write a --client-id c1",
        "bench connect --logins 10 --concurrency 2 --hold 1 --user bench --password-file pw --pid 1",
        "bench pubsub --publishers 2 --subscribers 3 --topics 1 --qos 2 --payload 16 --window 1 --in-transit 5 --rate 100 --seconds 1 --messages 10",
        "bench fanout --subscribers 3 --host h --port 1 --mqtt 5 --client-id x --topic-prefix y/ --quiet --json",
        "bench storm --clients 10 --concurrency 2",
    ] {
        check(line, 0);
    }
}

#[test]
fn global_options_stand_before_and_after_the_command() {
    check("--data-dir d --json user list", 0);
    check("user list --json --data-dir d", 0);
    check("user --json list --url https://h --token t", 0);
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for line in [
        "",
        "nonsense",
        "user",
        "user add",
        "user add bob",
        "user add bob --password-stdin --certificate",
        "user add bob --password secret",
        "user add bob --certificate --allow plant/#",
        "user add bob --certificate --allow fly:plant/#",
        "user set bob --publish-prefix p --no-publish-prefix",
        "user set bob --grant-type token",
        "user passwd bob",
        "user passwd bob --password-stdin --expires-in-hours 1",
        "user passwd bob --password-stdin --second --expires-in-hours 0",
        "role set",
        "cert issue bob",
        "cert issue --out d",
        "cert issue bob --out d --days 0",
        "cert issue bob --out d --p12-password-stdin",
        "cert sign bob.csr",
        "cert sign bob.csr --user bob --force",
        "cert revoke",
        "client kick bob",
        "explain bob fly a",
        "explain bob read",
        "explain bob readWrite a",
        "serve extra",
    ] {
        check(line, 2);
    }
}

#[test]
fn help_and_version_are_no_failure() {
    check("--help", 0);
    check("user add --help", 0);
    check("--version", 0);
}

#[test]
fn a_user_without_a_way_to_log_in_is_told_both_ways() {
    let error = Cli::try_parse_from(["countersign", "user", "add", "bob"]).unwrap_err().to_string();
    assert!(error.contains("--password-stdin") && error.contains("--certificate"), "{error}");
}

#[test]
fn the_token_is_never_shown() {
    let help = Cli::command().render_long_help().to_string();
    assert!(help.contains("COUNTERSIGN_TOKEN"));
    let argument = Cli::command();
    let token = argument.get_arguments().find(|argument| argument.get_id() == "token").unwrap();
    assert!(token.is_hide_env_values_set());
}

#[test]
fn serve_learns_the_global_data_directory() {
    let cli = Cli::try_parse_from(["countersign", "serve", "--data-dir", "d"]).unwrap();
    let Action::Serve(args) = cli.into_action() else { panic!("not serve") };
    assert_eq!(args.data_dir, Path::new("d"));
}

/// Runs a command against `router` on the admin socket of a fresh data directory.
async fn ask(router: Router, words: &[&str]) -> Result<Answer, Failure> {
    let data_dir = tempfile::tempdir().unwrap();
    let listener = tokio::net::UnixListener::bind(data_dir.path().join("admin.sock")).unwrap();
    let server = tokio::spawn(axum::serve(listener, router).into_future());
    let answer = ask_in(data_dir.path(), words).await;
    server.abort();
    answer
}

async fn ask_in(data_dir: &Path, words: &[&str]) -> Result<Answer, Failure> {
    let data_dir = data_dir.to_str().unwrap();
    let global = ["countersign", "--data-dir", data_dir];
    let Action::Ask(ask) = Cli::try_parse_from(global.iter().chain(words)).unwrap().into_action()
    else {
        panic!("not a command for a server")
    };
    ask.answer(Form::Json).await
}

/// One user, whom somebody else changes so often that the first `stale` changes are refused.
fn one_user(stale: u32) -> Router {
    let version = Arc::new(AtomicU32::new(0));
    let page = json!({"items": [{"id": "1"}], "total": 1, "pageNumber": 1, "rowsPerPage": 100});
    let object = json!({"id": "1", "username": "bob", "permissions": [], "roles": []});
    let read = {
        let version = Arc::clone(&version);
        move || async move {
            ([("etag", format!("\"{}\"", version.load(Ordering::Relaxed)))], axum::Json(object))
        }
    };
    let change = move |headers: HeaderMap, body: axum::Json<Value>| async move {
        let expected = format!("\"{}\"", version.load(Ordering::Relaxed));
        assert_eq!(headers["if-match"].to_str().unwrap(), expected);
        if version.fetch_add(1, Ordering::Relaxed) < stale {
            return (
                StatusCode::PRECONDITION_FAILED,
                axum::Json(json!({"detail": "changed meanwhile"})),
            );
        }
        (StatusCode::OK, body)
    };
    Router::new()
        .route("/api/users", get(move || async move { axum::Json(page) }))
        .route("/api/users/{id}", get(read).patch(change))
}

#[tokio::test]
async fn a_change_is_made_again_when_somebody_else_was_faster() {
    let answer = ask(one_user(2), &["user", "set", "bob", "--allow", "read:a"]).await.unwrap();
    assert_eq!(answer.json["permissions"][0]["resource"], "a");
}

#[tokio::test]
async fn a_change_that_always_comes_too_late_is_given_up() {
    let failure = ask(one_user(u32::MAX), &["user", "disable", "bob"]).await.unwrap_err();
    assert_eq!(failure.to_string(), "changed meanwhile");
}

#[tokio::test]
async fn a_set_without_changes_asks_nothing_and_is_wrong_usage() {
    for words in [["user", "set", "bob"], ["role", "set", "bob"]] {
        let failure = ask_in(Path::new("/nonexistent"), &words).await.unwrap_err();
        assert!(matches!(failure, Failure::Usage(_)), "{failure}");
    }
}

#[tokio::test]
async fn a_list_is_all_pages_of_it() {
    let list = |axum::extract::RawQuery(query): axum::extract::RawQuery| async move {
        let is_first = query.unwrap().contains("pageNumber=1&");
        let rows: Vec<Value> =
            (0..if is_first { 100 } else { 1 }).map(|id| json!({"id": id})).collect();
        axum::Json(json!({"items": rows, "total": 101})).into_response()
    };
    let router = Router::new().route("/api/users", get(list));
    let answer = ask(router, &["user", "list"]).await.unwrap();
    assert_eq!(answer.json.as_array().unwrap().len(), 101);
}

#[tokio::test]
async fn a_name_that_nobody_has_is_missing() {
    let page = json!({"items": [], "total": 0});
    let router = Router::new().route("/api/users", get(move || async move { axum::Json(page) }));
    let failure = ask(router, &["user", "show", "bob"]).await.unwrap_err();
    assert!(failure.to_string().starts_with("no user `bob`"), "{failure}");
}

#[tokio::test]
async fn a_client_id_with_slashes_stays_one_client_id() {
    let client = |axum::extract::Path((user, client)): axum::extract::Path<(String, String)>| async move {
        axum::Json(json!({"user": user, "clientId": client}))
    };
    let router = Router::new().route(
        "/api/clients/{user}/{client}",
        get(client).delete(|| async { StatusCode::NO_CONTENT }),
    );
    let answer = ask(router, &["client", "kick", "bob", "a/b ?#é"]).await.unwrap();
    assert_eq!(answer.json["clientId"], "a/b ?#é");
}

#[tokio::test]
async fn a_denial_is_an_answer_and_exit_code_1() {
    let explanation = json!({"decision": "deny", "reason": "no rule", "because": []});
    let router =
        Router::new().route("/api/explain", get(move || async move { axum::Json(explanation) }));
    let answer = ask(router, &["explain", "bob", "read", "a/#"]).await.unwrap();
    assert_eq!(answer.verdict, answer::Verdict::Denied);
}

#[tokio::test]
async fn no_server_and_a_left_over_socket_are_the_same() {
    let data_dir = tempfile::tempdir().unwrap();
    let failure = ask_in(data_dir.path(), &["user", "list"]).await.unwrap_err();
    assert!(matches!(failure, Failure::NoServer { .. }), "{failure}");
    drop(tokio::net::UnixListener::bind(data_dir.path().join("admin.sock")).unwrap());
    let failure = ask_in(data_dir.path(), &["user", "list"]).await.unwrap_err();
    assert!(matches!(failure, Failure::NoServer { .. }), "{failure}");
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_is_said() {
    let data_dir = format!("/tmp/{}", "d".repeat(200));
    let failure = ask_in(Path::new(&data_dir), &["user", "list"]).await.unwrap_err();
    assert!(failure.to_string().contains("too long for a Unix socket"), "{failure}");
}
