//! The configuration from outside: files and variables in, values or one clear line out.

use std::ffi::OsString;
use std::path::Path;

use admin::{AuthenticationMode, FirstAdmin, PasswordPolicy};

use super::*;

/// A file's text and variables, loaded.
fn load(text: &str, variables: &[(&str, &str)]) -> Result<Effective, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("countersign.toml");
    std::fs::write(&path, text).unwrap();
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
    Effective::load(Some(&path), variables)
        .map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
}

#[track_caller]
fn refused(text: &str, variables: &[(&str, &str)], message: &str) {
    let error = load(text, variables).map(|_| ()).unwrap_err();
    assert!(error.contains(message), "`{error}` does not contain `{message}`");
    assert!(!error.contains('\n'), "`{error}` is more than one line");
}

#[track_caller]
fn accepted(text: &str, variables: &[(&str, &str)]) -> Config {
    load(text, variables).unwrap().config
}

#[test]
fn the_defaults_are_those_of_the_specification() {
    let config = accepted("", &[]);
    let shown = |address: Option<SocketAddr>| address.unwrap().to_string();
    assert_eq!(shown(config.listeners.mqtt), "127.0.0.1:1883");
    assert_eq!(shown(config.listeners.mqtts), "0.0.0.0:8883");
    assert_eq!(shown(config.listeners.https), "0.0.0.0:8443");
    assert_eq!(shown(config.listeners.ws), "127.0.0.1:8080");
    assert_eq!(config.login.authentication, AuthenticationMode::Password);
    assert_eq!(config.login.anonymous_user, None);
    assert_eq!(config.login.first_admin, FirstAdmin::RandomPassword);
    assert_eq!(config.login.password_policy.min, 8);
}

#[test]
fn an_unknown_key_names_the_nearest_one_and_its_line() {
    refused(
        "[limits]\nqueue_mesages_max = 5\n",
        &[],
        "FILE:2: unknown key `limits.queue_mesages_max`; did you mean `limits.queue_messages_max`?",
    );
    refused(
        "autentication = \"password\"",
        &[],
        "FILE:1: unknown key `autentication`; did you mean `authentication`?",
    );
    refused("[log]\nmqtt = \"off\"", &[], "unknown key `log.mqtt`; did you mean `listeners.mqtt`?");
    refused(
        "[listner]\nmqtt = \"off\"",
        &[],
        "FILE:1: unknown section `listner`; did you mean `listeners`?",
    );
    refused("zzzzz = 1", &[], "unknown key `zzzzz`");
    refused("limits = 5", &[], "FILE:1: `limits` cannot be a single value: it is a section");
    refused("[limits.deep]\nx = 1", &[], "unknown section `limits.deep`");
    refused(
        "[authentication]\nmode = \"password\"",
        &[],
        "`authentication` cannot be a value of type table",
    );
    refused("\"a\\nb\" = 1", &[], "unknown key `a\\nb`");
}

#[test]
fn a_file_that_is_not_toml_names_the_line() {
    refused("[limits]\nx = = 1\n", &[], "FILE:2: not valid TOML");
    refused("[limits]\nshards = 1\nshards = 2\n", &[], "FILE:3: not valid TOML");
}

#[test]
fn a_missing_file_is_an_error() {
    let error = Effective::load(Some(Path::new("/nonexistent/c.toml")), []).unwrap_err();
    assert!(error.to_string().contains("`/nonexistent/c.toml`"), "{error}");
}

#[test]
fn a_value_that_does_not_fit_names_key_value_and_source() {
    let check = |text: &str, message: &str| refused(text, &[], message);
    check(
        "[limits]\nkeep_alive_s_max = \"10\"",
        "FILE:2: `limits.keep_alive_s_max` cannot be `10`: it must be an integer",
    );
    check("[limits]\nkeep_alive_s_max = 70000", "it must be 0 to 65535");
    check("[limits]\nkeep_alive_s_max = -1", "`-1`: it must not be negative");
    check("[limits]\nkeep_alive_s_max = 1.5", "a value of type float");
    check("[limits]\nreceive_max = 0", "it must be 1 to 65535");
    check(
        "[limits]\nconnect_timeout = 10",
        "it must be a time span such as \"10s\", not an integer",
    );
    check("[limits]\nconnect_timeout = \"10\"", "it must be a number and a unit");
    check("[limits]\nconnect_timeout = \"1d\"", "it must be a number and a unit");
    check("[limits]\nconnect_timeout = \"s\"", "it must be a number and a unit");
    check("[limits]\nconnect_timeout = \"1ms\"", "it must be 10ms to 1h");
    check("[limits]\nconnect_timeout = \"99999999999999999h\"", "too long");
    check("[listeners]\nmqtt = 1883", "`listeners.mqtt` cannot be `1883`");
    check(
        "[listeners]\nmqtt = \"localhost\"",
        "`listeners.mqtt` cannot be `localhost`: it must be an IP address and port",
    );
    check("[listeners]\nmqtt = \"\"", "it must be an IP address and port");
    check("[log]\nlevel = \"loud\"", "it must be error, warn, info, debug or trace");
    check("[admin]\nuser_enabled = \"yes\"", "it must be true or false");
    check("authentication = \"Password\"", "it must be password, mutual-tls or either");
    check("anonymous_user = \"#\"", "`anonymous_user` cannot be `#`");
    check("[log]\nlevel = \"a\\r\\nb\"", "`a\\r\\nb`");
}

#[test]
fn every_key_has_a_variable_that_wins_over_the_file() {
    let config = accepted(
        "authentication = \"either\"\n[limits]\nkeep_alive_s_max = 1\n[listeners]\nmqtt = \"off\"",
        &[
            ("COUNTERSIGN_LIMITS_KEEP_ALIVE_S_MAX", "77"),
            ("COUNTERSIGN_LISTENERS_MQTT", "[::1]:0"),
            ("COUNTERSIGN_AUTHENTICATION", "mutual-tls"),
            ("COUNTERSIGN_ADMIN_USER_ENABLED", "false"),
            ("COUNTERSIGN_LIMITS_CONNECT_TIMEOUT", "3s"),
        ],
    );
    assert_eq!(config.broker.keep_alive_s_max, 77);
    assert_eq!(config.listeners.mqtt.unwrap().to_string(), "[::1]:0");
    assert_eq!(config.login.authentication, AuthenticationMode::MutualTls);
    assert_eq!(config.login.first_admin, FirstAdmin::None);
    assert_eq!(config.intake.connect_timeout, Duration::from_secs(3));
}

#[test]
fn an_unknown_variable_is_an_error_and_the_command_lines_are_not() {
    refused(
        "",
        &[("COUNTERSIGN_LISTENERS_MQT", "off")],
        "unknown variable `COUNTERSIGN_LISTENERS_MQT`; did you mean `COUNTERSIGN_LISTENERS_MQTT`?",
    );
    refused("", &[("COUNTERSIGN_", "")], "unknown variable");
    refused("", &[("COUNTERSIGN_LISTENERS_MQTT_FILE", "/x")], "unknown variable");
    accepted(
        "",
        &[
            ("COUNTERSIGN_URL", ""),
            ("COUNTERSIGN_TOKEN", "x"),
            ("COUNTERSIGN_CA_FILE", "x"),
            ("COUNTERSIGN_CONFIG", "x"),
            ("COUNTERSIGN_DATA_DIR", "x"),
            ("CYBUS_SOMETHING_ELSE", "x"),
            ("PATH", "x"),
        ],
    );
    refused(
        "",
        &[("COUNTERSIGN_LIMITS_RECEIVE_MAX", "+5")],
        "environment variable `COUNTERSIGN_LIMITS_RECEIVE_MAX`",
    );
    refused("", &[("COUNTERSIGN_LIMITS_RECEIVE_MAX", "")], "it must be an integer");
}

#[test]
fn a_variable_of_connectware_that_means_nothing_here_is_remembered_to_be_told() {
    let variables = ["CYBUS_BROKER_USE_MUTUAL_TL", "CYBUS_INGRESS", "CYBUS_ADMIN_USER_ENABLED"];
    let variables = variables.map(|name| (name.into(), "true".into()));
    let ignored = Effective::load(None, variables).unwrap().ignored;
    assert_eq!(ignored, ["CYBUS_BROKER_USE_MUTUAL_TL", "CYBUS_INGRESS"]);
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf8_is_an_error() {
    use std::os::unix::ffi::OsStringExt;
    let variables = [("COUNTERSIGN_LOG_LEVEL".into(), OsString::from_vec(vec![0xff]))];
    let error = Effective::load(None, variables).unwrap_err().to_string();
    assert!(error.contains("not UTF-8"), "{error}");
}

#[test]
fn mutual_tls_by_variable_is_yes_or_no_in_any_case_and_nothing_else() {
    let check = |value: &str, mode| {
        let variables = [("CYBUS_BROKER_USE_MUTUAL_TLS", value)];
        let config = accepted("authentication = \"either\"", &variables);
        assert_eq!(config.login.authentication, mode, "{value}");
    };
    for value in ["yes", "YES", "Yes"] {
        check(value, AuthenticationMode::MutualTls);
    }
    for value in ["no", "NO", "nO"] {
        check(value, AuthenticationMode::Password);
    }
    for value in ["", "true", "1", "yes ", "off"] {
        refused("", &[("CYBUS_BROKER_USE_MUTUAL_TLS", value)], "it must be yes or no");
    }
}

#[test]
fn two_variables_for_one_key_are_an_error() {
    refused(
        "",
        &[("CYBUS_BROKER_USE_MUTUAL_TLS", "no"), ("COUNTERSIGN_AUTHENTICATION", "either")],
        "`authentication` is set twice",
    );
    refused(
        "[admin]\ninitial_password = \"x\"\ninitial_password_file = \"/etc/hostname\"",
        &[],
        "`admin.initial_password` is set twice",
    );
}

#[test]
fn the_password_policy_variable_replaces_all_rules() {
    let name = "CYBUS_AUTH_PASSWORD_POLICY_RULES";
    let file = "[passwords]\nmin = 20\nupper = 3";
    let config = accepted(file, &[(name, r#"{"min": 12, "symbol": 1}"#)]);
    let expected = PasswordPolicy { min: 12, lower: 0, upper: 0, numeric: 0, symbol: 1 };
    assert_eq!(config.login.password_policy, expected);
    for bad in [
        "",
        "{",
        "[]",
        "8",
        r#"{"max": 3}"#,
        r#"{"min": -1}"#,
        r#"{"min": 1.5}"#,
        r#"{"min": "8"}"#,
    ] {
        refused("", &[(name, bad)], name);
    }
}

#[test]
fn the_first_administrator_is_off_only_for_exactly_false() {
    let check = |value: &str, first| {
        let config = accepted("", &[("CYBUS_ADMIN_USER_ENABLED", value)]);
        assert_eq!(config.login.first_admin, first, "{value}");
    };
    check("false", FirstAdmin::None);
    check("False", FirstAdmin::RandomPassword);
    check("", FirstAdmin::RandomPassword);
    check("true", FirstAdmin::RandomPassword);
}

#[test]
fn secrets_come_from_the_file_a_variable_or_a_file_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    std::fs::write(&path, "from-a-file\n").unwrap();
    let path = path.to_str().unwrap();
    let encoded = directory.path().join("encoded");
    std::fs::write(&encoded, "ZnJvbS1jeWJ1cw==\n").unwrap();
    let encoded = encoded.to_str().unwrap();
    let check = |text: &str, variables: &[(&str, &str)], password: &str| {
        let first = accepted(text, variables).login.first_admin;
        assert_eq!(first, FirstAdmin::Password(password.into()));
    };
    check("[admin]\ninitial_password = \"in the file\"", &[], "in the file");
    check(&format!("[admin]\ninitial_password_file = \"{path}\""), &[], "from-a-file");
    check("", &[("COUNTERSIGN_ADMIN_INITIAL_PASSWORD", "plain")], "plain");
    check("", &[("COUNTERSIGN_ADMIN_INITIAL_PASSWORD_FILE", path)], "from-a-file");
    check("", &[("CYBUS_INITIAL_ADMIN_USER_PASSWORD", "ZnJvbS1jeWJ1cw==")], "from-cybus");
    check("", &[("CYBUS_INITIAL_ADMIN_USER_PASSWORD_FILE", encoded)], "from-cybus");
    refused("", &[("CYBUS_INITIAL_ADMIN_USER_PASSWORD", "se cret!")], "Base64");
    refused("", &[("COUNTERSIGN_ADMIN_INITIAL_PASSWORD", "")], "it is empty");
    refused("", &[("COUNTERSIGN_ADMIN_INITIAL_PASSWORD_FILE", "/nonexistent")], "/nonexistent");
}

#[test]
fn flaw_31_no_error_and_no_output_holds_a_secret() {
    let secret = "Tr0ub4dor-secret";
    let effective = load(&format!("[admin]\ninitial_password = \"{secret}\""), &[]).unwrap();
    assert!(!effective.to_toml().contains(secret));
    assert!(effective.to_toml().contains("# initial_password = (hidden)"));
    assert!(!format!("{effective:?}").contains(secret));
    for variables in [
        [("CYBUS_INITIAL_ADMIN_USER_PASSWORD", secret)],
        [("COUNTERSIGN_ADMIN_INITIAL_PASSWORD_FILE", secret)],
    ] {
        let error = load("", &variables).map(|_| ()).unwrap_err();
        assert!(variables[0].0.ends_with("_FILE") || !error.contains(secret), "{error}");
    }
    let error = load("[admin]\ninitial_password = 12345678", &[]).map(|_| ()).unwrap_err();
    assert!(!error.contains("12345678"), "{error}");
}

#[test]
fn what_check_prints_gives_the_same_configuration_back() {
    let text = "authentication = \"either\"\nanonymous_user = \"guest\"\n\
        [listeners]\nmqtt = \"[::1]:1\"\nws = \"off\"\n\
        [limits]\nconnect_timeout = \"1500ms\"\nqueue_full = \"drop-newest\"\nreceive_max = 7\n\
        [log]\nformat = \"json\"\nlevel = \"debug\"\n[server]\nshards = 3\nstop_timeout = \"2m\"";
    let first = load(text, &[]).unwrap();
    let second = load(&first.to_toml(), &[]).unwrap();
    assert_eq!(format!("{:?}", second.config), format!("{:?}", first.config));
    assert_ne!(format!("{:?}", second.config), format!("{:?}", Config::default()));
    assert!(first.to_toml().contains("connect_timeout = \"1500ms\""), "{}", first.to_toml());
}

#[test]
fn keys_are_distinct_and_stand_by_section() {
    let mut names: Vec<_> = KEYS.iter().map(Key::variable).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), KEYS.len(), "two keys share a variable");
    let mut sections: Vec<_> = KEYS.iter().map(|key| key.section).collect();
    sections.dedup();
    let count = sections.len();
    sections.sort_unstable();
    sections.dedup();
    assert_eq!(sections.len(), count, "the keys of a section do not stand together");
    assert!(KEYS.iter().all(|key| !key.meaning.is_empty()));
}

#[test]
fn every_default_is_within_its_bounds() {
    for (index, key) in KEYS.iter().enumerate() {
        let mut config = Config::default();
        let Some(value) = (key.slot)(&mut config).toml() else { continue };
        let text = if key.section.is_empty() {
            format!("{} = {value}", key.name)
        } else {
            format!("[{}]\n{} = {value}", key.section, key.name)
        };
        let effective = load(&text, &[]).unwrap();
        assert!(matches!(effective.sources[index], Source::File { .. }), "{}", key.path());
    }
}

/// The page is written by `UPDATE_DOCS=1 cargo nextest run -p server reference`.
#[test]
fn the_reference_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let page = show::reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/configuration.md is out of date: run with UPDATE_DOCS=1");
}

#[test]
fn every_limit_of_the_engine_has_a_key() {
    // A new field stops this from compiling: give it a key, and its name a place in the list.
    let broker::Limits {
        connections_max: _,
        sessions_max: _,
        sessions_per_user_max: _,
        packet_size_max: _,
        outbox_bytes_max: _,
        outbox_pressure_bytes: _,
        shard_window_bytes: _,
        held_input_bytes_max: _,
        queue_messages_max: _,
        queue_bytes_max: _,
        queue_memory_messages_max: _,
        queue_memory_bytes_max: _,
        queue_disk_bytes_max: _,
        queue_disk_bytes_per_user_max: _,
        queue_full: _,
        receive_max: _,
        in_flight_max: _,
        topic_alias_max: _,
        subscriptions_per_session_max: _,
        retained_messages_max: _,
        retained_bytes_max: _,
        retained_backlog_max: _,
        will_bytes_max: _,
        will_bytes_per_user_max: _,
        keep_alive_s_max: _,
        session_expiry_s_max: _,
        client_id_bytes_max: _,
        permit_cache_topics_max: _,
        route_cache_targets_max: _,
        slow_consumer_patience_ms: _,
        slow_consumer_pause_ms: _,
        close_linger_ms: _,
        denied_publish: _,
        payload_format: _,
        response_information: _,
        over_budget: _,
        commit_bytes_max: _,
        // Not for the operator to decide here: it follows from `durability`.
        persistence: _,
    } = broker::Limits::default();
    let keys_of = |section| KEYS.iter().filter(|key| key.section == section).count();
    // Those before a login, and the memory ceiling.
    let of_others = 11;
    assert_eq!(keys_of("limits") - of_others + keys_of("mqtt"), 37);
}
