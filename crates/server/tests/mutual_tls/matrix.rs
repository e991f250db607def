//! Each kind of change against each kind of state, in both versions: what must go is gone when the change is confirmed,
//! and what may stay stays.
//!
//! A user may do everything below its own first level by the rule that is about to change, and below `kept/` by another
//! one as well. It holds one of each kind of state in `gone/` and one in `kept/`. Then something is changed, and what the
//! row says must be all that happens.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{
    Login, MqttClient, Outcome, Packet, Version, Will, eventually, login,
    wire::{self, Publish},
};

use crate::certificates::Client;
use crate::link;
use crate::scene::{PASSWORD, Scene, setup, spell};

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    PermissionRemoved,
    PermissionDenied,
    RolePermissionRemoved,
    RolePermissionDenied,
    RoleTakenOff,
    RoleDeleted,
    PrefixChanged,
    PasswordChanged,
    GrantRemoved,
    UserDisabled,
    UserDeleted,
    CertificateRevoked,
}

/// What of a right is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    Nothing,
    /// In `gone/`. A filter that is wider than what is left goes as a whole.
    Rule,
    /// In `gone/`, by a deny: a wider filter stays, and its deliveries are filtered.
    Denied,
    Everything,
}

/// What a change must do.
#[derive(Clone, Copy, Debug)]
struct Row {
    change: Change,
    /// The connections that rest on what was changed end, those of 5.0 with this code.
    ends: Option<u8>,
    read: Lost,
    write: Lost,
}

const fn row(change: Change, ends: Option<u8>, read: Lost, write: Lost) -> Row {
    Row { change, ends, read, write }
}

const ROWS: [Row; 12] = [
    row(Change::PermissionRemoved, None, Lost::Rule, Lost::Rule),
    row(Change::PermissionDenied, None, Lost::Denied, Lost::Denied),
    row(Change::RolePermissionRemoved, None, Lost::Rule, Lost::Rule),
    row(Change::RolePermissionDenied, None, Lost::Denied, Lost::Denied),
    row(Change::RoleTakenOff, None, Lost::Rule, Lost::Rule),
    row(Change::RoleDeleted, None, Lost::Rule, Lost::Rule),
    // All that it publishes goes elsewhere from now on, to where it has no right.
    row(Change::PrefixChanged, None, Lost::Nothing, Lost::Everything),
    row(Change::PasswordChanged, Some(0x98), Lost::Nothing, Lost::Nothing),
    row(Change::GrantRemoved, Some(0x87), Lost::Nothing, Lost::Nothing),
    row(Change::UserDisabled, Some(0x87), Lost::Everything, Lost::Everything),
    row(Change::UserDeleted, Some(0x87), Lost::Everything, Lost::Everything),
    row(Change::CertificateRevoked, Some(0x87), Lost::Nothing, Lost::Nothing),
];

/// How the user logs in.
enum Proof {
    Password(&'static str),
    Certificate,
}

/// One row in one version, with its user.
struct Cell<'a> {
    scene: &'a Scene,
    row: Row,
    version: Version,
    /// User, role and the first level of all topics have this name.
    name: String,
    user: Value,
    proof: Proof,
    certificate: Client,
    certificate_path: String,
    /// Publishes to the user.
    from: MqttClient,
    /// Sees what the user publishes.
    observer: MqttClient,
    marks: AtomicUsize,
}

fn rule(resource: &str, effect: &str) -> Value {
    json!({"resource": resource, "operation": "readWrite", "context": "mqtt", "effect": effect})
}

impl<'a> Cell<'a> {
    fn new(scene: &'a Scene, row: Row, version: Version) -> Self {
        let name = format!("{:?}-{version:?}", row.change);
        let broad = rule(&format!("{name}/#"), "allow");
        let role = json!({"name": name, "permissions": [broad]});
        let made = scene.broker.request("POST", "/api/roles", Some(&role));
        assert_eq!(made.status, 201, "{}", made.body);
        let user = scene.broker.post_user(&name, PASSWORD, &rights(&name, row.change));
        let path = format!("/api/users/{}/certificates", user["id"].as_str().unwrap());
        let issued = scene.broker.request("POST", &path, Some(&json!({})));
        assert_eq!(issued.status, 201, "{}", issued.body);
        let text = |field: &str| issued.body[field].as_str().unwrap().to_owned();
        let by_certificate = row.change == Change::CertificateRevoked;
        let somebody = |id: &str| {
            login(Version::V5, id).user("somebody", PASSWORD).connect(scene.broker.mqtt())
        };
        let mut observer = somebody(&format!("{name}-observer"));
        let both = [(format!("{name}/#"), 0), (format!("moved/{name}/#"), 0)];
        assert_eq!(observer.subscribe_all(&both.each_ref().map(|(f, q)| (f.as_str(), *q))), [0, 0]);
        Self {
            scene,
            row,
            version,
            user,
            proof: if by_certificate { Proof::Certificate } else { Proof::Password(PASSWORD) },
            certificate: Client::from_pem(&text("certificate"), &text("key")),
            certificate_path: format!("{path}/{}", text("fingerprint")),
            from: somebody(&format!("{name}-from")),
            observer,
            marks: AtomicUsize::new(0),
            name,
        }
    }

    fn topic(&self, branch: &str, leaf: &str) -> String {
        format!("{}/{branch}/{leaf}", self.name)
    }

    fn outcome(&self, proof: &Proof, login: Login<'_>) -> Outcome {
        match proof {
            Proof::Password(password) => {
                login.user(&self.name, password).outcome(self.scene.broker.mqtt())
            }
            Proof::Certificate => {
                let config = self.scene.config(Some(&self.certificate), &rustls::version::TLS13);
                let stream = link::tls(self.scene.mqtts(), &config);
                let socket = stream.sock.try_clone().unwrap();
                login.outcome_on(MqttClient::over(Box::new(stream), socket, self.version))
            }
        }
    }

    fn connect(&self, login: Login<'_>) -> MqttClient {
        match self.outcome(&self.proof, login) {
            Outcome::Accepted(client) => client,
            other => panic!("{}: {other:?}", self.name),
        }
    }

    /// A client with subscriptions to this leaf of both branches.
    fn subscriber(&self, login: Login<'_>, leaf: &str, qos: u8) -> MqttClient {
        let mut client = self.connect(login);
        for branch in ["gone", "kept"] {
            assert_eq!(client.subscribe(&self.topic(branch, leaf), qos), qos, "{}", self.name);
        }
        client
    }

    /// Somebody else publishes to both branches.
    fn publish(&mut self, leaf: &str, qos: u8) {
        for branch in ["gone", "kept"] {
            let topic = self.topic(branch, leaf);
            assert!(self.from.publish(Publish::new(&topic, b"to it").qos(qos, 1)) < 0x80);
        }
    }

    /// All that the client gets, up to a mark that is published now.
    fn received(&mut self, client: &mut MqttClient) -> BTreeSet<String> {
        let mark = format!("mark-{}", self.marks.fetch_add(1, Ordering::Relaxed));
        let mark = self.topic("kept", &mark);
        assert_eq!(client.subscribe(&mark, 1), 1, "{}", self.name);
        self.from.publish(Publish::new(&mark, b"to it").qos(1, 1));
        let mut topics = BTreeSet::new();
        loop {
            match client.message().0 {
                topic if topic == mark => return topics,
                topic => drop(topics.insert(topic)),
            }
        }
    }

    /// This leaf of the branches that are not lost.
    fn left(&self, lost: Lost, leaf: &str) -> BTreeSet<String> {
        let branches: &[&str] = match lost {
            Lost::Nothing => &["gone", "kept"],
            Lost::Rule | Lost::Denied => &["kept"],
            Lost::Everything => &[],
        };
        branches.iter().map(|branch| self.topic(branch, leaf)).collect()
    }

    /// Makes the change, and says how the user logs in afterwards.
    fn change(&self) -> Proof {
        let of = |kind: &str, id: &str| format!("/api/{kind}/{id}");
        let user = of("users", self.user["id"].as_str().unwrap());
        let find = format!("/api/roles?name%5Beq%5D={}", self.name);
        let role = self.scene.broker.request("GET", &find, None).body;
        let role = of("roles", role["items"][0]["id"].as_str().unwrap());
        let (broad, kept) = (format!("{}/#", self.name), format!("{}/kept/#", self.name));
        let (broad, kept) = (rule(&broad, "allow"), rule(&kept, "allow"));
        let denied = rule(&format!("{}/gone/#", self.name), "deny");
        let (method, path, body, proof) = match self.row.change {
            Change::PermissionRemoved => ("PATCH", user, json!({"permissions": [kept]}), None),
            Change::PermissionDenied => {
                ("PATCH", user, json!({"permissions": [broad, kept, denied]}), None)
            }
            Change::RolePermissionRemoved => ("PATCH", role, json!({"permissions": []}), None),
            Change::RolePermissionDenied => {
                ("PATCH", role, json!({"permissions": [broad, denied]}), None)
            }
            Change::RoleTakenOff => ("PATCH", user, json!({"roles": []}), None),
            Change::RoleDeleted => ("DELETE", format!("{role}?force=true"), Value::Null, None),
            Change::PrefixChanged => ("PATCH", user, json!({"mqttPublishPrefix": "moved/"}), None),
            Change::PasswordChanged => {
                let new = Proof::Password("quiet-lantern-17-sails");
                let body = json!({"password": "quiet-lantern-17-sails"});
                ("PUT", format!("{user}/password"), body, Some(new))
            }
            Change::GrantRemoved => {
                let body = json!({"grantTypes": [spell("certificate")]});
                ("PATCH", user, body, Some(Proof::Certificate))
            }
            Change::UserDisabled => ("PATCH", user, json!({"enabled": false}), None),
            Change::UserDeleted => ("DELETE", user, Value::Null, None),
            Change::CertificateRevoked => {
                let path = self.certificate_path.clone();
                ("DELETE", path, Value::Null, Some(Proof::Password(PASSWORD)))
            }
        };
        let body = (!body.is_null()).then_some(&body);
        let reply = self.scene.broker.request(method, &path, body);
        assert!(reply.status < 300, "{}: {}", self.name, reply.body);
        proof.unwrap_or(Proof::Password(PASSWORD))
    }

    /// Lets the user in again, where the change was to keep it out altogether.
    fn let_in_again(&self) {
        let path = format!("/api/users/{}", self.user["id"].as_str().unwrap());
        match self.row.change {
            Change::UserDisabled => {
                let enabled = json!({"enabled": true});
                let reply = self.scene.broker.request("PATCH", &path, Some(&enabled));
                assert_eq!(reply.status, 200, "{}", reply.body);
            }
            Change::UserDeleted => {
                let rights = rights(&self.name, self.row.change);
                self.scene.broker.post_user(&self.name, PASSWORD, &rights);
            }
            _ => {}
        }
    }

    /// The connection ends with the code of the row, and nothing is delivered on it before; or it stays.
    fn check_end(&self, client: &mut MqttClient) {
        let Some(expected) = self.row.ends else { return client.ping() };
        let (mut code, mut delivered) = (None, Vec::new());
        while let Some(packet) = client.next_within(ONE_SECOND) {
            match packet {
                Packet::Disconnect { code: told } => code = Some(told),
                Packet::Publish { topic, .. } => delivered.push(topic),
                _ => {}
            }
        }
        assert!(client.is_closed_within(Duration::from_millis(1)), "{}: not in time", self.name);
        // Shards look at certificates ten times a second. Until then its user's rights hold.
        let is_at_once = self.row.change != Change::CertificateRevoked;
        assert!(!is_at_once || delivered.is_empty(), "{}: {delivered:?}", self.name);
        assert_eq!(code, (self.version == Version::V5).then_some(expected), "{}", self.name);
    }

    /// What the user has published since the last look, once it is this.
    fn check_published(&mut self, expected: BTreeSet<String>, what: &str) {
        let mut seen = BTreeSet::new();
        eventually(&format!("{}: {what}: {expected:?}", self.name), || {
            let messages = self.observer.messages_before_ping();
            let by_user = messages.into_iter().filter(|(_, payload)| payload == BY_IT);
            seen.extend(by_user.map(|(topic, _)| topic));
            seen.is_superset(&expected)
        });
        assert_eq!(seen, expected, "{}: {what}", self.name);
    }
}

fn rights(name: &str, change: Change) -> Value {
    let (broad, kept) =
        (rule(&format!("{name}/#"), "allow"), rule(&format!("{name}/kept/#"), "allow"));
    let grants = [spell("password"), spell("certificate")];
    match change {
        Change::RolePermissionRemoved
        | Change::RolePermissionDenied
        | Change::RoleTakenOff
        | Change::RoleDeleted => {
            json!({"grantTypes": grants, "permissions": [kept], "roles": [name]})
        }
        _ => json!({"grantTypes": grants, "permissions": [broad, kept]}),
    }
}

/// What the user's clients hold when the change comes.
struct States {
    live: MqttClient,
    shared: MqttClient,
    wide: MqttClient,
    sender: MqttClient,
    wills: Vec<MqttClient>,
    /// Logged in by what is not changed.
    spared: Option<MqttClient>,
}

impl States {
    fn set_up(cell: &mut Cell<'_>) -> Self {
        let version = cell.version;
        let mut sender = cell.connect(login(version, "sender").resuming());
        for (id, branch) in [(100, "gone"), (101, "kept")] {
            let topic = cell.topic(branch, "retained");
            let code = sender.publish(Publish::new(&topic, BY_IT).qos(1, 1).retained());
            assert!(code < 0x80, "{}", cell.name);
            let topic = cell.topic(branch, "half");
            sender.send(&wire::publish(version, &Publish::new(&topic, BY_IT).qos(2, id)));
            assert!(sender.expect_ack(5, id) < 0x80, "{}", cell.name);
        }
        let both = ["retained", "half"].map(|leaf| cell.left(Lost::Nothing, leaf));
        cell.check_published(both.into_iter().flatten().collect(), "before the change");

        let mut stored = cell.subscriber(login(version, "stored").resuming(), "one", 1);
        for branch in ["gone", "kept"] {
            assert_eq!(stored.subscribe(&cell.topic(branch, "two"), 2), 2);
        }
        stored.disconnect();
        let mut half = cell.subscriber(login(version, "half").resuming(), "sent", 2);
        cell.publish("sent", 2);
        for number in 0..2 {
            let id = half.expect("a PUBLISH", |packet| match packet {
                Packet::Publish { packet_id, .. } => Some(*packet_id),
                _ => None,
            });
            // The one in `gone/` comes first: of the two exchanges one is half done in each of the two ways.
            if number == 1 {
                half.send(&wire::acknowledge(0x50, id));
                half.expect_ack(6, id);
            }
        }
        half.drop_link();
        let mut shared = cell.connect(login(version, "shared"));
        for branch in ["gone", "kept"] {
            let filter = format!("$share/g/{}", cell.topic(branch, "shared"));
            assert_eq!(shared.subscribe(&filter, 1), 1);
        }
        let mut wide = cell.connect(login(version, "wide"));
        assert_eq!(wide.subscribe(&format!("{}/+/wide", cell.name), 0), 0);
        let other = match cell.row.change {
            Change::GrantRemoved => Some(Proof::Certificate),
            Change::CertificateRevoked => Some(Proof::Password(PASSWORD)),
            _ => None,
        };
        let spared = other.map(|proof| match cell.outcome(&proof, login(version, "spared")) {
            Outcome::Accepted(client) => client,
            other => panic!("{}: {other:?}", cell.name),
        });
        let live = cell.subscriber(login(version, "live"), "live", 0);
        let states = Self { live, shared, wide, sender, wills: wills(cell), spared };
        eventually("those who left are offline", || {
            let left = ["stored", "half", "delayed-gone", "delayed-kept"];
            let clients = format!("/api/clients?user%5Beq%5D={}", cell.name);
            let clients = cell.scene.broker.request("GET", &clients, None).body;
            let is_left = |client: &&Value| left.contains(&client["clientId"].as_str().unwrap());
            let mut clients = clients["items"].as_array().unwrap().iter().filter(is_left);
            clients.all(|client| client["connected"] == false)
        });
        // While its subscriber is away.
        cell.publish("one", 1);
        cell.publish("two", 2);
        states
    }
}

/// Clients with a will for when they are gone; those with a delayed one are gone already.
fn wills(cell: &Cell<'_>) -> Vec<MqttClient> {
    let mut online = Vec::new();
    for branch in ["gone", "kept"] {
        let topic = cell.topic(branch, "will");
        let id = format!("will-{branch}");
        online.push(cell.connect(login(cell.version, &id).will(Will::new(&topic, BY_IT))));
        if cell.version == Version::V5 {
            let topic = cell.topic(branch, "delayed");
            let will = Will { delay_s: Some(3000), ..Will::new(&topic, BY_IT) };
            let id = format!("delayed-{branch}");
            cell.connect(login(cell.version, &id).resuming().will(will)).drop_link();
        }
    }
    online
}

fn check(scene: &Scene, row: Row, version: Version) {
    let cell = &mut Cell::new(scene, row, version);
    let mut states = States::set_up(cell);
    let proof = cell.change();
    check_online(cell, &mut states);
    check_retained(cell);
    if row.ends.is_some() {
        let refused = cell.outcome(&cell.proof, login(version, "again"));
        assert!(!matches!(refused, Outcome::Accepted(_)), "{}", cell.name);
    }
    states.wills.into_iter().for_each(MqttClient::drop_link);
    // Who is not known any more does not speak any more, also where its user may.
    let will = if row.ends.is_some() { Lost::Everything } else { row.write };
    cell.check_published(cell.left(will, "will"), "wills");
    cell.let_in_again();
    cell.proof = proof;
    if row.ends.is_some() {
        states.sender = cell.connect(login(version, "sender").resuming());
    }
    check_sender(cell, &mut states.sender);
    if version == Version::V5 {
        for branch in ["gone", "kept"] {
            // A clean start ends the session, and its will is due.
            drop(cell.connect(login(version, &format!("delayed-{branch}"))));
        }
        cell.check_published(cell.left(will, "delayed"), "delayed wills");
    }
    check_offline(cell);
}

fn check_online(cell: &mut Cell<'_>, states: &mut States) {
    for leaf in ["live", "shared", "wide"] {
        cell.publish(leaf, 1);
    }
    for client in [&mut states.live, &mut states.shared, &mut states.wide, &mut states.sender] {
        cell.check_end(client);
    }
    states.wills.iter_mut().for_each(|client| cell.check_end(client));
    if let Some(spared) = &mut states.spared {
        spared.ping();
    }
    if cell.row.ends.is_some() {
        return;
    }
    let wide = if cell.row.read == Lost::Rule { Lost::Everything } else { cell.row.read };
    for (client, leaf, lost) in [
        (&mut states.live, "live", cell.row.read),
        (&mut states.shared, "shared", cell.row.read),
        (&mut states.wide, "wide", wide),
    ] {
        assert_eq!(cell.received(client), cell.left(lost, leaf), "{}", cell.name);
        let filter = cell.topic("gone", leaf);
        let may = cell.row.read == Lost::Nothing;
        assert_eq!(client.subscribe(&filter, 0) < 0x80, may, "{}: to subscribe again", cell.name);
    }
}

fn check_retained(cell: &mut Cell<'_>) {
    let id = format!("{}-reader", cell.name);
    let mut reader =
        login(Version::V5, &id).user("somebody", PASSWORD).connect(cell.scene.broker.mqtt());
    assert_eq!(reader.subscribe(&format!("{}/+/retained", cell.name), 1), 1);
    let left = cell.left(cell.row.write, "retained");
    assert_eq!(cell.received(&mut reader), left, "{}: retained", cell.name);
}

/// What it has begun comes to its end and is not routed twice; what it begins now is judged anew.
fn check_sender(cell: &mut Cell<'_>, sender: &mut MqttClient) {
    let (version, row) = (cell.version, cell.row);
    assert!(row.ends.is_none() || sender.session_present() == (row.change != Change::UserDeleted));
    for (id, branch) in [(100, "gone"), (101, "kept")] {
        if row.change != Change::UserDeleted {
            let topic = cell.topic(branch, "half");
            let publish = Publish { dup: true, ..Publish::new(&topic, BY_IT).qos(2, id) };
            sender.send(&wire::publish(version, &publish));
            sender.expect_ack(5, id);
        }
        sender.send(&wire::acknowledge(0x62, id));
        sender.expect_ack(7, id);
    }
    // Whoever was let in again has its rights again.
    let lost = if row.ends.is_some() { Lost::Nothing } else { row.write };
    for qos in [0, 1, 2] {
        for branch in ["gone", "kept"] {
            let topic = cell.topic(branch, &format!("now-{qos}"));
            let code = sender.publish(Publish::new(&topic, BY_IT).qos(qos, 1));
            let may = cell.left(lost, &format!("now-{qos}")).contains(&topic);
            assert_eq!(code < 0x80, may || qos == 0 || version == Version::V311, "{topic}");
        }
    }
    sender.ping();
    let left = ["now-0", "now-1", "now-2"].map(|leaf| cell.left(lost, leaf));
    cell.check_published(left.into_iter().flatten().collect(), "published now");
}

/// The sessions that were away come back to what is left of them.
fn check_offline(cell: &mut Cell<'_>) {
    let row = cell.row;
    for (id, leaves) in [("stored", &["one", "two"][..]), ("half", &["sent"])] {
        let mut client = cell.connect(login(cell.version, id).resuming());
        assert_eq!(client.session_present(), row.change != Change::UserDeleted, "{}", cell.name);
        let mut left: BTreeSet<_> =
            leaves.iter().flat_map(|leaf| cell.left(row.read, leaf)).collect();
        if id == "half" {
            // Its client has got it already, and said so.
            left.remove(&cell.topic("kept", "sent"));
        }
        assert_eq!(cell.received(&mut client), left, "{}: {id}", cell.name);
        for leaf in leaves {
            cell.publish(leaf, 2);
            let left = cell.left(row.read, leaf);
            assert_eq!(cell.received(&mut client), left, "{}: {id}, afterwards", cell.name);
        }
        client.ping();
    }
    // Long after the change, what was withheld has not come by any way.
    cell.check_published(BTreeSet::new(), "at the end");
}

#[test]
fn each_kind_of_change_takes_what_it_must_from_each_kind_of_state_and_nothing_else() {
    let scene = Scene::with(setup("either").env("COUNTERSIGN_SERVER_SHARDS", "3"));
    let role = json!({"roles": ["connectware-admin"]});
    scene.broker.post_user("somebody", PASSWORD, &role);
    let cells: Vec<_> =
        ROWS.iter().flat_map(|row| Version::BOTH.map(|version| (*row, version))).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((row, version)) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    check(&scene, *row, *version);
                }
            });
        }
    });
}

/// The payload of what the user publishes.
const BY_IT: &[u8] = b"by it";
const ONE_SECOND: Duration = Duration::from_secs(1);
