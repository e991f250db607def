//! The programs that people use: openssl, mosquitto, paho-mqtt for Python and MQTT.js for Node.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use testkit::{find_program, require_program, run_real, spawn_real};

use crate::scene::{PASSWORD, Scene};

const LIMIT: Duration = Duration::from_secs(60);

/// `press-7` may log in by certificate, `bob` by password; their files lie in the directory.
fn scene(mode: &str) -> (Scene, tempfile::TempDir) {
    let scene = Scene::start(mode);
    scene.add_user("press-7", &["certificate"]);
    scene.add_user("bob", &["password"]);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let ran = scene.broker.cli(&["cert", "issue", "press-7", "--out", &text(directory.path())]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        path("press-7.crt").exists() && path("press-7.key").exists() && path("ca.crt").exists()
    );
    (scene, directory)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn port(scene: &Scene, listener: &str) -> String {
    scene.broker.listener(listener).unwrap().port().to_string()
}

/// Runs it in the directory and expects it to end well.
fn run_well(directory: &Path, program: &str, arguments: &[&str]) -> String {
    let ran = run_real(Command::new(program).current_dir(directory).args(arguments), LIMIT);
    assert_eq!(ran.code, Some(0), "{program} {arguments:?}: {}{}", ran.stdout, ran.stderr);
    ran.stdout
}

fn has_library(program: &str, probe: &[&str]) -> bool {
    let is_there = find_program(program)
        .is_some_and(|path| run_real(Command::new(path).args(probe), LIMIT).code == Some(0));
    assert!(is_there || std::env::var_os("CI").is_none(), "{program} is needed where CI is set");
    is_there
}

#[test]
fn mosquitto_logs_in_by_certificate_with_both_versions_of_tls() {
    if !require_program("mosquitto_pub") || !require_program("mosquitto_sub") {
        return;
    }
    let (scene, directory) = scene("mutual-tls");
    let port = port(&scene, "mqtts");
    for version in ["tlsv1.2", "tlsv1.3"] {
        let common = [
            "-h",
            "localhost",
            "-p",
            &port,
            "--cafile",
            "ca.crt",
            "--cert",
            "press-7.crt",
            "--key",
            "press-7.key",
            "--tls-version",
            version,
            "-t",
            "line/1",
            "-q",
            "1",
        ];
        let mut subscriber = Command::new("mosquitto_sub");
        subscriber
            .current_dir(directory.path())
            .args(common)
            .args(["-C", "1", "-W", "10", "-i", version]);
        let subscriber = spawn_real(&mut subscriber);
        testkit::eventually("the subscriber is there", || {
            let client =
                scene.broker.request("GET", &format!("/api/clients/press-7/{version}"), None);
            client.body["subscriptions"].as_array().is_some_and(|all| !all.is_empty())
        });
        run_well(directory.path(), "mosquitto_pub", &[&common[..], &["-m", version]].concat());
        assert_eq!(subscriber.finish(LIMIT).stdout.trim(), version);
    }
    let without = ["-h", "localhost", "-p", &port, "--cafile", "ca.crt", "-t", "x", "-m", "x"];
    let ran =
        run_real(Command::new("mosquitto_pub").current_dir(directory.path()).args(without), LIMIT);
    assert_ne!(ran.code, Some(0), "no certificate, no login");
}

#[test]
fn openssl_finds_both_versions_of_tls_and_nothing_older_or_weaker() {
    if !require_program("openssl") {
        return;
    }
    let (scene, directory) = scene("either");
    for listener in ["mqtts", "https"] {
        let address = format!("localhost:{}", port(&scene, listener));
        let connect = |more: &[&str]| {
            let common = [
                "s_client",
                "-connect",
                &address,
                "-CAfile",
                "ca.crt",
                "-verify_return_error",
                "-cert",
                "press-7.crt",
                "-key",
                "press-7.key",
            ];
            let mut command = Command::new("openssl");
            run_real(command.current_dir(directory.path()).args(common).args(more), LIMIT)
        };
        for version in ["-tls1_2", "-tls1_3"] {
            let ran = connect(&[version]);
            assert!(ran.stdout.contains("Verify return code: 0"), "{version}: {}", ran.stderr);
        }
        for bad in [
            &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"][..],
            &["-tls1_2", "-cipher", "AES128-SHA"],
            &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"],
            &["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
        ] {
            let ran = connect(bad);
            assert!(!ran.stdout.contains("Verify return code: 0 (ok)\n---\nread"), "{bad:?}");
            assert_ne!(ran.code, Some(0), "{bad:?}: {}", ran.stdout);
        }
    }
}

#[test]
fn a_certificate_made_by_plain_openssl_works_or_the_log_says_what_to_do() {
    if !require_program("openssl") || !require_program("mosquitto_pub") {
        return;
    }
    let (scene, directory) = scene("mutual-tls");
    let run = |arguments: &str| {
        run_well(directory.path(), "openssl", &arguments.split(' ').collect::<Vec<_>>())
    };
    run(
        "req -x509 -newkey rsa:2048 -nodes -keyout own.key -out own.crt -days 30 -subj /CN=OwnRoot",
    );
    run("req -newkey rsa:2048 -nodes -keyout c.key -out c.csr -subj /CN=press-7");
    run("x509 -req -in c.csr -CA own.crt -CAkey own.key -CAcreateserial -days 30 -out v1.crt");
    std::fs::write(directory.path().join("ext"), "extendedKeyUsage=clientAuth\n").unwrap();
    run(
        "x509 -req -in c.csr -CA own.crt -CAkey own.key -CAcreateserial -days 30 -extfile ext -out v3.crt",
    );
    let own = std::fs::read_to_string(directory.path().join("own.crt")).unwrap();
    scene.write("ca.crt", &format!("{}{own}", scene.read("ca.crt")));
    testkit::eventually("the own root counts", || {
        scene.broker.log_lines(&["changed files are in use", "bundle=true"]).len() == 2
    });
    let port = port(&scene, "mqtts");
    let publish = |certificate: &str| {
        let arguments = [
            "-h",
            "localhost",
            "-p",
            &port,
            "--cafile",
            "ca.crt",
            "--cert",
            certificate,
            "--key",
            "c.key",
            "-t",
            "x",
            "-m",
            "x",
            "-q",
            "1",
        ];
        run_real(Command::new("mosquitto_pub").current_dir(directory.path()).args(arguments), LIMIT)
            .code
    };
    assert_eq!(publish("v3.crt"), Some(0));
    if run("x509 -in v1.crt -noout -text").contains("Version: 1 ") {
        assert_ne!(publish("v1.crt"), Some(0));
        scene.has_logged(&[
            "TLS handshake refused",
            "127.0.0.1:",
            "x.509 version 1",
            "remedy",
            "-extfile",
        ]);
    } else {
        assert_eq!(publish("v1.crt"), Some(0));
    }
}

#[test]
fn paho_for_python_holds_a_session_over_wss_and_ws() {
    if !has_library("python3", &["-c", "import paho.mqtt.client"]) {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mutual_tls/clients/paho_websocket.py");
    check_script("python3", script);
}

#[test]
fn mqtt_js_holds_a_session_over_wss_and_ws() {
    if !has_library("node", &["-e", "require('mqtt')"]) {
        return;
    }
    let script =
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mutual_tls/clients/mqttjs_websocket.js");
    check_script("node", script);
}

/// By certificate and by password over `wss`, by password over `ws`.
fn check_script(program: &str, script: &str) {
    let (scene, directory) = scene("either");
    let (https, ws) = (port(&scene, "https"), port(&scene, "ws"));
    for version in ["4", "5"] {
        for way in [
            ["wss", &https, version, "certificate", "-"],
            ["wss", &https, version, "bob", PASSWORD],
            ["ws", &ws, version, "bob", PASSWORD],
        ] {
            let said = run_well(directory.path(), program, &[&[script][..], &way].concat());
            assert_eq!(said.trim().lines().last(), Some("done"), "{way:?}");
        }
    }
}
