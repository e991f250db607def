//! The import of Mosquitto's files: its users log in, and may do what they might there, as asked of a Mosquitto that runs
//! with the same files.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use testkit::wire::Publish;
use testkit::{BrokerProcess, MqttClient, Random, Version, login};

use crate::mosquitto::{self, Mosquitto};
use crate::support::setup;

const USERS: [&str; 4] = ["alice", "bob", "carl", "machine-7"];
/// May do everything, by a rule of its own.
const WATCHER: &str = "watcher";

fn connect(broker: SocketAddr, name: &str, client_id: &str) -> MqttClient {
    login(Version::V5, client_id).user(name, &format!("{name}-password")).connect(broker)
}

/// A topic of up to three levels; with wildcards if it is for a rule or a subscription.
fn topic(random: &mut Random, levels: &[&str]) -> String {
    let count = 1 + random.below(3);
    let picked: Vec<&str> = (0..count).map(|_| random.pick(levels)).collect();
    let mut topic = picked.join("/");
    if levels.contains(&"+") && random.chance(1, 3) {
        topic.push_str("/#");
    }
    topic
}

const NAMES: [&str; 10] = ["a", "a", "b", "b", "c", "", "alice", "x-bob", "c1", "c-c1"];
const FILTERS: [&str; 6] = ["a", "b", "c", "+", "+", "c1"];

/// What a broker decides, as lines: of publishing, of reading by a subscription to one topic each, and of reading by
/// filters, where the subscription is granted.
#[derive(Debug, PartialEq, Eq)]
struct Decisions {
    granted: BTreeSet<String>,
    asked: usize,
}

struct Questions {
    topics: Vec<String>,
    filters: Vec<String>,
}

impl Questions {
    fn random(random: &mut Random) -> Questions {
        let topics: BTreeSet<String> = (0..24).map(|_| topic(random, &NAMES)).collect();
        let topics = topics.into_iter().filter(|topic| !topic.is_empty()).collect();
        let mut filters: Vec<String> = (0..3).map(|_| topic(random, &FILTERS)).collect();
        filters.push("#".to_owned());
        Questions { topics, filters }
    }

    fn ask(&self, broker: SocketAddr) -> Decisions {
        let mut decisions = Decisions { granted: BTreeSet::new(), asked: 0 };
        let mut watcher = connect(broker, WATCHER, "the-watcher");
        for user in USERS {
            let mut client = connect(broker, user, "c1");
            for topic in &self.topics {
                decisions.asked += 1;
                let code = client.publish(Publish::new(topic, b"x").qos(1, 0));
                if code < 0x80 {
                    decisions.granted.insert(format!("{user} publishes {topic}"));
                }
            }
            let one_each: Vec<&str> = self.topics.iter().map(String::as_str).collect();
            decisions.asked += one_each.len();
            let read = self.read(&mut watcher, broker, user, &one_each);
            decisions.granted.extend(read.into_iter().map(|topic| format!("{user} reads {topic}")));
        }
        decisions
    }

    /// What of all topics is delivered to a client that asks for the filters.
    fn read(
        &self,
        watcher: &mut MqttClient,
        broker: SocketAddr,
        user: &str,
        filters: &[&str],
    ) -> BTreeSet<String> {
        let mut client = connect(broker, user, "c1");
        let asked: Vec<(&str, u8)> = filters.iter().map(|filter| (*filter, 0)).collect();
        drop(client.subscribe_all(&asked));
        assert!(client.subscribe("end", 0) < 0x80, "everybody may read the end mark");
        for topic in self.topics.iter().map(String::as_str).chain(["end"]) {
            assert!(watcher.publish(Publish::new(topic, b"x").qos(1, 0)) < 0x80, "{topic}");
        }
        let mut read = BTreeSet::new();
        loop {
            match client.message().0 {
                end if end == "end" => return read,
                topic => drop(read.insert(topic)),
            }
        }
    }

    /// Filters: where ours grants the subscription, the same is delivered; else nothing here.
    fn compare_filters(&self, ours: SocketAddr, theirs: SocketAddr) -> usize {
        let mut compared = 0;
        let mut our_watcher = connect(ours, WATCHER, "the-watcher");
        let mut their_watcher = connect(theirs, WATCHER, "the-watcher");
        for user in USERS {
            for filter in &self.filters {
                let is_granted = connect(ours, user, "c2").subscribe(filter, 0) < 0x80;
                let read = self.read(&mut our_watcher, ours, user, &[filter]);
                if is_granted {
                    let there = self.read(&mut their_watcher, theirs, user, &[filter]);
                    assert_eq!(read, there, "{user} subscribes to {filter}");
                    compared += self.topics.len();
                } else {
                    assert!(read.is_empty(), "{user} was refused {filter} and got {read:?}");
                }
            }
        }
        compared
    }
}

/// Imports, and gives the differences that name a line.
fn import(broker: &BrokerProcess, arguments: &[&str]) -> Vec<String> {
    let arguments = [&["import", "mosquitto", "--replace"], arguments].concat();
    let answer: Value = broker.cli_json(&arguments);
    let differences = answer["differences"].as_array().unwrap().iter();
    let of_lines = differences.filter(|it| it["line"].is_number());
    of_lines.map(|it| it["what"].as_str().unwrap().to_owned()).collect()
}

/// Rules that are the same here: all but patterns that deny, and placeholders of client ids inside of a level.
fn rules(random: &mut Random, everything: bool) -> String {
    let mut text = format!(
        "# made by chance\n\nuser {WATCHER}\ntopic readwrite #\ntopic readwrite +/#\npattern read end\n"
    );
    let access = ["", "read ", "write ", "readwrite ", "deny ", "readwrite "];
    for user in USERS {
        text.push_str(&format!("user {user}\n"));
        for _ in 0..1 + random.below(5) {
            let access = *random.pick(&access.each_ref());
            text.push_str(&format!("topic {access}{}\n", ruled(random, access, &FILTERS)));
        }
    }
    let mut levels = vec!["a", "b", "+", "%u", "%c", "x-%u"];
    let mut kinds = vec!["read ", "write ", ""];
    if everything {
        levels.extend(["c-%c", "%u%c"]);
        kinds.extend(["deny ", "deny "]);
    }
    for _ in 0..3 {
        let access = random.pick(&kinds);
        text.push_str(&format!("pattern {access}{}\n", ruled(random, access, &levels)));
    }
    text
}

/// A topic of a rule. A deny leaves the end mark alone.
fn ruled(random: &mut Random, access: &str, levels: &[&str]) -> String {
    let topic = topic(random, levels);
    if access == "deny " { format!("{}/{topic}", random.pick(&["a", "b"])) } else { topic }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_thousand_random_decisions_agree_with_a_mosquitto_that_has_the_same_files() {
    if !mosquitto::is_here() {
        return;
    }
    let broker = setup().start();
    let directory = tempfile::tempdir().unwrap();
    let (passwd, acl) = (directory.path().join("passwd"), directory.path().join("acl"));
    mosquitto::password_file(&passwd, &[&USERS[..], &[WATCHER]].concat());
    let mut random = Random::new(4);
    let (mut decided, mut allowed, mut compared) = (0, 0, 0);
    for round in 0..7 {
        let rules = rules(&mut random, false);
        fs::write(&acl, &rules).unwrap();
        let settings = mosquitto::files(&[("password_file", &passwd), ("acl_file", &acl)]);
        let theirs = Mosquitto::start(directory.path(), &settings);
        let differences = import(&broker, &["--passwd", text(&passwd), "--acl", text(&acl)]);
        assert_eq!(differences, [""; 0], "{rules}");
        let questions = Questions::random(&mut random);
        let (here, there) = (questions.ask(broker.mqtt()), questions.ask(theirs.address));
        assert_eq!(here, there, "round {round}: {rules}");
        decided += here.asked;
        allowed += here.granted.len();
        compared += questions.compare_filters(broker.mqtt(), theirs.address);
    }
    println!("{decided} decisions, {allowed} of them allowed; {compared} deliveries by filters");
    assert!(decided >= 1000 && (decided / 10..decided * 9 / 10).contains(&allowed), "{allowed}");
    assert!(compared >= 100, "{compared}");
}

/// The forms that the manual page tells of, in a file that somebody has edited by hand.
const BY_HAND: &str = "\
# Rules of the plant.\r
user watcher\r
topic readwrite #\r
pattern read end\r
\r

user alice
topic plant/hall
topic  read   plant/+/state  \t
topic deny plant/boiler/#
topic readwrite plant/boiler/#
user bob
topic write log of the day/bob
topic read #
topic deny plant/#
user  alice
topic write plant/order/#

pattern readwrite home/%u/#
pattern write seen/%c
pattern read tags/%u-%u/x
topic write still alice/x
  topic read indented/+
user carl
topic $share/g/plant/hall
topic write $SYS/x
topic read /
topic read //
topic readwrite plant/hall
topic deny plant/hall
";

#[test]
fn the_forms_of_the_manual_page_mean_the_same_here_and_there() {
    if !mosquitto::is_here() {
        return;
    }
    let broker = setup().start();
    let directory = tempfile::tempdir().unwrap();
    let (passwd, acl) = (directory.path().join("passwd"), directory.path().join("acl"));
    mosquitto::password_file(&passwd, &[&USERS[..], &[WATCHER]].concat());
    fs::write(&acl, BY_HAND).unwrap();
    let settings = mosquitto::files(&[("password_file", &passwd), ("acl_file", &acl)]);
    let theirs = Mosquitto::start(directory.path(), &settings);
    let differences = import(&broker, &["--passwd", text(&passwd), "--acl", text(&acl)]);
    assert_eq!(differences.len(), 1, "of `$SYS/x`: {differences:?}");
    let topics = [
        "plant/hall",
        "plant/press/state",
        "plant/boiler/state",
        "plant/boiler",
        "plant/order/7",
        "plant",
        "log of the day/bob",
        "home/alice/a",
        "home/bob",
        "home/carl/a/b",
        "seen/c1",
        "seen/c2",
        "tags/alice-alice/x",
        "tags/%u-%u/x",
        "still alice/x",
        "indented/a",
        "/",
        "//",
        "///",
        "else",
        "home",
    ];
    let topics = topics.map(str::to_owned).to_vec();
    let questions =
        Questions { topics, filters: vec!["plant/#".to_owned(), "home/+/#".to_owned()] };
    let (here, there) = (questions.ask(broker.mqtt()), questions.ask(theirs.address));
    assert_eq!(here, there);
    for granted in
        ["alice publishes plant/hall", "bob reads else", "alice reads indented/a", "carl reads //"]
    {
        assert!(here.granted.contains(granted), "{granted}: {:?}", here.granted);
    }
    assert!(
        questions.compare_filters(broker.mqtt(), theirs.address) < 100,
        "few filters are covered"
    );
}

#[test]
fn whatever_the_rules_nothing_is_allowed_that_mosquitto_refuses_and_what_is_refused_is_listed() {
    if !mosquitto::is_here() {
        return;
    }
    let broker = setup().start();
    let directory = tempfile::tempdir().unwrap();
    let (passwd, acl) = (directory.path().join("passwd"), directory.path().join("acl"));
    mosquitto::password_file(&passwd, &[&USERS[..], &[WATCHER]].concat());
    let mut random = Random::new(11);
    let mut narrower = 0;
    for round in 0..6 {
        let rules = rules(&mut random, true);
        fs::write(&acl, &rules).unwrap();
        let settings = mosquitto::files(&[("password_file", &passwd), ("acl_file", &acl)]);
        let theirs = Mosquitto::start(directory.path(), &settings);
        let files = ["--passwd", text(&passwd), "--acl", text(&acl), "--skip", WATCHER];
        let differences = import(&broker, &files);
        if round == 0 {
            broker.add_user(WATCHER, &format!("{WATCHER}-password"), &["--allow", "readWrite:#"]);
        }
        let questions = Questions::random(&mut random);
        let (here, there) = (questions.ask(broker.mqtt()), questions.ask(theirs.address));
        let wider: Vec<_> = here.granted.difference(&there.granted).collect();
        assert_eq!(wider, Vec::<&String>::new(), "round {round}: {rules}");
        let lost = there.granted.len() - here.granted.len();
        assert!(lost == 0 || !differences.is_empty(), "{lost} were lost silently: {rules}");
        narrower += lost;
    }
    assert!(narrower > 0, "the rules of this test cannot all be taken over exactly");
}

/// A file of the plugin: `roles` random roles, given to users directly and by groups.
fn dynsec(random: &mut Random, passwd: &Path, exact: bool) -> Value {
    let kinds: &[&str] = &["publishClientSend", "subscribePattern", "publishClientReceive"];
    let mut roles = vec![json!({"rolename": "all", "acls": [
        {"acltype": "publishClientSend", "topic": "#", "allow": true},
        {"acltype": "publishClientReceive", "topic": "#", "allow": true},
        {"acltype": "subscribePattern", "topic": "#", "allow": true},
    ]})];
    roles.push(json!({"rolename": "end", "acls": [
        {"acltype": "subscribeLiteral", "topic": "end", "priority": 9, "allow": true},
        {"acltype": "publishClientReceive", "topic": "end", "priority": 9, "allow": true},
    ]}));
    for number in 0..6 {
        let mut acls = Vec::new();
        // An allow that stands before some of the denies.
        let wide = kinds.iter().filter(|_| !exact);
        acls.extend(
            wide.map(|kind| json!({"acltype": kind, "topic": "+/#", "priority": 3, "allow": true})),
        );
        for _ in 0..4 {
            let is_deny = random.chance(1, if exact { 4 } else { 2 });
            let topic = ruled(random, if is_deny { "deny " } else { "" }, &FILTERS);
            // A deny that comes first is the same here, but for those of a SUBSCRIBE.
            let kind = *random.pick(&if exact && is_deny {
                vec![&kinds[0], &kinds[2]]
            } else {
                kinds.iter().collect()
            });
            let priority = match (exact, is_deny) {
                (true, true) => 5,
                (true, false) => 0,
                (false, _) => random.below(7),
            };
            let acl =
                json!({"acltype": kind, "topic": topic, "priority": priority, "allow": !is_deny});
            let is_there =
                acls.iter().any(|it: &Value| it["acltype"] == *kind && it["topic"] == *topic);
            if !is_there {
                acls.push(acl);
            }
        }
        roles.push(json!({"rolename": format!("role-{number}"), "acls": acls}));
    }
    let client = |name: &str, roles: &[Value]| {
        let hash = mosquitto::hash(passwd, name);
        let parts: Vec<&str> = hash.split('$').collect();
        let iterations: u32 = parts[2].parse().unwrap();
        json!({"username": name, "iterations": iterations, "salt": parts[3], "password": parts[4], "roles": roles})
    };
    let mut clients = vec![client(WATCHER, &[json!({"rolename": "all"})])];
    let mut groups = Vec::new();
    for (number, user) in USERS.iter().enumerate() {
        // With denies in several roles, the order of the roles would matter.
        let own = json!({"rolename": format!("role-{number}"), "priority": random.below(3)});
        clients.push(client(user, &[json!({"rolename": "end", "priority": 8}), own]));
        if !exact {
            let shared = json!({"rolename": format!("role-{}", 4 + number % 2)});
            groups.push(json!({"groupname": format!("g-{number}"), "roles": [shared],
                "clients": [{"username": user}]}));
        }
    }
    json!({
        "defaultACLAccess": {"publishClientSend": false, "publishClientReceive": random.chance(1, 2),
            "subscribe": false, "unsubscribe": true},
        "clients": clients, "groups": groups, "roles": roles,
    })
}

fn compare_dynsec(seed: u64, rounds: usize, exact: bool) -> (usize, usize) {
    let broker = setup().start();
    let directory = tempfile::tempdir().unwrap();
    let (passwd, file) = (directory.path().join("passwd"), directory.path().join("dynsec.json"));
    // Only the hashes of the plugin's own kind.
    for name in [&USERS[..], &[WATCHER]].concat() {
        let one = directory.path().join(name);
        mosquitto::password_file(&one, &[name]);
        let lines = fs::read_to_string(&passwd).unwrap_or_default();
        fs::write(&passwd, lines + &fs::read_to_string(&one).unwrap()).unwrap();
    }
    let mut random = Random::new(seed);
    let (mut decided, mut lost) = (0, 0);
    for _ in 0..rounds {
        let made = serde_json::to_string_pretty(&dynsec(&mut random, &passwd, exact)).unwrap();
        fs::write(&file, &made).unwrap();
        let plugin = mosquitto::plugin();
        let settings = mosquitto::files(&[("plugin", &plugin), ("plugin_opt_config_file", &file)]);
        let theirs = Mosquitto::start(directory.path(), &settings);
        let differences = import(&broker, &["--dynsec", text(&file)]);
        let questions = Questions::random(&mut random);
        let (here, there) = (questions.ask(broker.mqtt()), questions.ask(theirs.address));
        let wider: Vec<_> = here.granted.difference(&there.granted).collect();
        assert_eq!(wider, Vec::<&String>::new(), "{made}");
        let of_round = there.granted.len() - here.granted.len();
        assert!(of_round == 0 || !differences.is_empty(), "{of_round} lost silently: {made}");
        decided += here.asked;
        lost += of_round;
    }
    (decided, lost)
}

#[test]
fn decisions_of_the_dynamic_security_plugin_are_the_same_or_narrower_and_listed() {
    if !mosquitto::is_here() {
        return;
    }
    let (decided, lost) = compare_dynsec(3, 4, true);
    assert!(decided >= 400);
    assert_eq!(lost, 0, "a deny that comes first is the same here");
    let (decided, lost) = compare_dynsec(5, 4, false);
    assert!(decided >= 400 && lost > 0, "{lost} of {decided}");
}

#[test]
fn flaw_25_a_file_that_cannot_be_read_imports_nothing_and_names_file_and_line() {
    let broker = setup().start();
    let directory = tempfile::tempdir().unwrap();
    let before = broker.cli(&["export"]).ok().stdout;
    let hash = "$7$101$qLCD1S+OYAjeDz48$5cwxGV0dqaZ+Ooddu5V1mhhSVPNfAItl5nBEBuGVOs6/FTbF0HGwAWjlS28XUxmbYaKFzI+vfkUs6mvjQkyNBg==";
    let good = format!("alice:{hash}\n");
    let check = |option: &str, bytes: &[u8], says: &str| {
        let (passwd, other) = (directory.path().join("passwd"), directory.path().join("other"));
        fs::write(&passwd, &good).unwrap();
        fs::write(&other, bytes).unwrap();
        let mut arguments = vec!["import", "mosquitto", option, text(&other)];
        if option == "--acl" {
            arguments.extend(["--passwd", text(&passwd)]);
        }
        let ran = broker.cli(&arguments);
        assert_eq!(ran.code, Some(2), "{}", ran.stdout);
        assert!(
            ran.stderr.contains("other`, line 2: ") && ran.stderr.contains(says),
            "{}",
            ran.stderr
        );
        assert_eq!(broker.cli(&["export"]).ok().stdout, before);
    };
    check("--passwd", format!("{good}bob:plain-text\n").as_bytes(), "mosquitto_passwd -U");
    check("--passwd", format!("{good}bob\n").as_bytes(), "no `:`");
    check(
        "--passwd",
        format!("{good}bob:{}\n", hash.replace("101", "99999999")).as_bytes(),
        "iterations",
    );
    check("--passwd", &[good.as_bytes(), &[0xff, b'\n']].concat(), "UTF-8");
    check("--acl", b"user alice\ntopic subscribe a/b\n", "`subscribe`");
    check("--acl", b"user alice\ntopic read a/#/b\n", "a/#/b");
    check("--dynsec", b"{\n \"clients\": 5 }", "list");
    check("--dynsec", b"{\n nothing", "JSON");
}

#[test]
fn users_that_are_there_already_are_left_alone_unless_that_is_asked_for() {
    let broker = setup().start();
    broker.add_user("boss", "violet-tractor-94-hums", &["--role", "connectware-admin"]);
    broker.add_user("alice", "violet-tractor-94-hums", &["--allow", "read:hers"]);
    let directory = tempfile::tempdir().unwrap();
    let passwd = directory.path().join("passwd");
    // Of `alice-password`.
    let hash = "$7$101$qLCD1S+OYAjeDz48$5cwxGV0dqaZ+Ooddu5V1mhhSVPNfAItl5nBEBuGVOs6/FTbF0HGwAWjlS28XUxmbYaKFzI+vfkUs6mvjQkyNBg==";
    fs::write(&passwd, format!("alice:{hash}\nbob:{hash}\n")).unwrap();
    let run = |more: &[&str]| {
        broker.cli(&[&["import", "mosquitto", "--passwd", text(&passwd)], more].concat())
    };
    let code = |name: &str, password: &str| {
        login(Version::V5, "c").user(name, password).code(broker.mqtt())
    };
    let refused = run(&[]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("user `alice`"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("bob"), "{}", refused.stderr);
    assert_eq!((code("alice", "violet-tractor-94-hums"), code("bob", "alice-password")), (0, 0x86));
    drop(run(&["--skip", "alice"]).ok());
    assert_eq!((code("alice", "violet-tractor-94-hums"), code("bob", "alice-password")), (0, 0));
    drop(run(&["--replace"]).ok());
    assert_eq!(
        (code("alice", "violet-tractor-94-hums"), code("alice", "alice-password")),
        (0x86, 0)
    );
    let again = run(&[]).ok().stdout;
    assert!(again.ends_with("no changes\n"), "the login has renewed the hash: {again}");
    let records =
        broker.cli_json(&["audit", "--user", "local owner", "--since", "1h", "--last", "10000"]);
    assert!(records.to_string().contains("user.password"), "{records}");
}
