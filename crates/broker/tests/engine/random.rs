//! Random operations of many clients, judged by checkers that know nothing of the engine.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use topic::{SubscriptionFilter, TopicFilter, TopicName};

use crate::world::{C, Q1, Q2, V5, V311, World, lasting, limits, user};

const USERS: [&str; 3] = ["ann", "bob", "cat"];
const TOPICS: [&str; 5] = ["a", "a/b", "a/c", "b", "b/b"];
const FILTERS: [&str; 7] = ["#", "a/#", "+/b", "a/b", "b", "$share/g/a/#", "+"];
const RULES: [&str; 7] = [
    "allow readWrite #",
    "allow read a/#",
    "allow write a/#",
    "deny read a/b",
    "deny write b/#",
    "allow readWrite b/#",
    "deny readWrite +/c",
];

#[derive(Debug, Clone)]
enum Step {
    Connect { user: usize, client_id: usize, is_lasting: bool },
    Lose { client: usize },
    Disconnect { client: usize },
    Subscribe { client: usize, filter: usize, qos: u8 },
    Unsubscribe { client: usize, filter: usize },
    Publish { client: usize, topic: usize, qos: u8, retain: bool },
    Stick { client: usize },
    Unstick { client: usize },
    Rules { user: usize, rules: Vec<usize> },
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..8usize;
    prop_oneof![
        3 => (0..3usize, 0..3usize, any::<bool>())
            .prop_map(|(user, client_id, is_lasting)| Step::Connect { user, client_id, is_lasting }),
        1 => client.clone().prop_map(|client| Step::Lose { client }),
        1 => client.clone().prop_map(|client| Step::Disconnect { client }),
        4 => (client.clone(), 0..FILTERS.len(), 0..3u8)
            .prop_map(|(client, filter, qos)| Step::Subscribe { client, filter, qos }),
        1 => (client.clone(), 0..FILTERS.len())
            .prop_map(|(client, filter)| Step::Unsubscribe { client, filter }),
        8 => (client.clone(), 0..TOPICS.len(), 0..3u8, any::<bool>())
            .prop_map(|(client, topic, qos, retain)| Step::Publish { client, topic, qos, retain }),
        1 => client.clone().prop_map(|client| Step::Stick { client }),
        1 => client.prop_map(|client| Step::Unstick { client }),
        2 => (0..3usize, prop::collection::vec(0..RULES.len(), 0..3))
            .prop_map(|(user, rules)| Step::Rules { user, rules }),
        1 => Just(Step::Wait),
    ]
}

/// The rights as the page says them: one matcher over the rule's text, deny wins.
fn may(rules: &[usize], operation: &str, topic: &str) -> bool {
    let topic = TopicName::parse(topic).unwrap();
    let mut is_allowed = false;
    for rule in rules {
        let words: Vec<_> = RULES[*rule].split(' ').collect();
        let is_for_it = words[1] == operation || words[1] == "readWrite";
        if is_for_it && TopicFilter::parse(words[2]).unwrap().matches(&topic) {
            if words[0] == "deny" {
                return false;
            }
            is_allowed = true;
        }
    }
    is_allowed
}

struct Run {
    world: World,
    rules: HashMap<usize, Vec<usize>>,
    /// User and client id of each client.
    who: Vec<(usize, usize)>,
    published: usize,
    /// Payloads at QoS 2 that each session has got, without duplicates of the transport.
    seen: HashSet<((usize, usize), String)>,
    /// Payloads whose publish was not allowed.
    forbidden: HashSet<String>,
}

impl Run {
    fn new(shards: usize) -> Run {
        let mut world = World::with(shards, limits());
        for name in USERS {
            world.user(name, &[RULES[0]]);
        }
        let rules = (0..3).map(|user| (user, vec![0])).collect();
        let (who, seen, forbidden) = (Vec::new(), HashSet::new(), HashSet::new());
        Run { world, rules, who, published: 0, seen, forbidden }
    }

    fn client(&self, wanted: usize) -> Option<C> {
        let open: Vec<C> = (0..self.who.len()).filter(|c| self.world.is_open(*c)).collect();
        open.get(wanted % open.len().max(1)).copied()
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Connect { user, client_id, is_lasting } => {
                let version = if client_id % 2 == 0 { V5 } else { V311 };
                let mut connect = lasting(version, &format!("c{client_id}"));
                connect.clean_start = !is_lasting;
                if !is_lasting {
                    connect.properties.session_expiry_interval_s = None;
                    self.seen.retain(|(session, _)| *session != (*user, *client_id));
                }
                self.who.push((*user, *client_id));
                let client = self.world.connect_with(USERS[*user], connect);
                assert_eq!(client + 1, self.who.len());
            }
            Step::Rules { user, rules } => {
                let texts: Vec<_> = rules.iter().map(|rule| RULES[*rule]).collect();
                // What was received until now was received under the old rules.
                self.check();
                self.world.put(crate::world::user(USERS[*user], &texts));
                self.rules.insert(*user, rules.clone());
            }
            Step::Wait => self.world.wait_s(1),
            Step::Lose { client } => self.with(*client, World::lose),
            Step::Disconnect { client } => self.with(*client, World::disconnect),
            Step::Stick { client } => {
                self.with(*client, |world, it| world.clients[it].reads = false)
            }
            Step::Unstick { client } => self.with(*client, World::unstick),
            Step::Subscribe { client, filter, qos } => {
                // A share's copy is one of its own; at QoS 1 it is not taken for a repetition.
                let most = if FILTERS[*filter].starts_with('$') { Q1 } else { Q2 };
                let qos = mqtt::Qos::from_bits(*qos).unwrap().min(most);
                let filters = [(
                    SubscriptionFilter::parse(FILTERS[*filter]).unwrap().into(),
                    mqtt::SubscribeOptions::qos(qos),
                )];
                self.with(*client, |world, it| {
                    world.send(
                        it,
                        &mqtt::Packet::Subscribe(mqtt::Subscribe {
                            packet_id: mqtt::PacketId::MIN,
                            subscription_identifier: None,
                            filters: filters.to_vec(),
                            user_properties: Vec::new(),
                        }),
                    );
                });
            }
            Step::Unsubscribe { client, filter } => {
                let filters = vec![SubscriptionFilter::parse(FILTERS[*filter]).unwrap().into()];
                let (packet_id, user_properties) = (mqtt::PacketId::MIN, Vec::new());
                let packet = mqtt::Packet::Unsubscribe(mqtt::Unsubscribe {
                    packet_id,
                    filters,
                    user_properties,
                });
                self.with(*client, |world, it| world.send(it, &packet));
            }
            Step::Publish { client, topic, qos, retain } => {
                self.publish(*client, TOPICS[*topic], *qos, *retain);
            }
        }
    }

    fn publish(&mut self, client: usize, topic: &str, qos: u8, retain: bool) {
        let Some(client) = self.client(client) else { return };
        self.published += 1;
        let payload = format!("{} {topic}", self.published);
        if !may(&self.rules[&self.who[client].0], "write", topic) {
            self.forbidden.insert(payload.clone());
        }
        let qos = mqtt::Qos::from_bits(qos).unwrap();
        let message = crate::world::message(topic, &payload);
        self.world.publish_with(client, mqtt::OutgoingPublish { qos, retain, ..message });
    }

    fn with(&mut self, client: usize, act: impl FnOnce(&mut World, C)) {
        if let Some(client) = self.client(client) {
            act(&mut self.world, client);
        }
    }

    /// No delivery that reader or writer had no right to; no QoS 2 message twice.
    fn check(&mut self) {
        for client in 0..self.who.len() {
            let (reader, client_id) = self.who[client];
            for message in self.world.messages(client) {
                let (head, payload) = message.split_once(": ").unwrap();
                let topic = head.split(' ').next().unwrap();
                assert!(payload.ends_with(&format!(" {topic}")), "routed elsewhere: {message}");
                assert!(
                    may(&self.rules[&reader], "read", topic),
                    "{} got {message}",
                    USERS[reader]
                );
                assert!(
                    !self.forbidden.contains(payload),
                    "forbidden publish delivered: {message}"
                );
                let is_resent = head.contains(" r") || head.contains(" d");
                if head.contains(" q2") && !is_resent {
                    let is_new = self.seen.insert(((reader, client_id), payload.to_owned()));
                    assert!(is_new, "twice: {message}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_delivery_goes_past_the_rights_and_no_qos_2_message_comes_twice(
        shards in 1..3usize,
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut run = Run::new(shards);
        for step in &steps {
            run.take(step);
            run.check();
        }
        for client in 0..run.who.len() {
            run.world.unstick(client);
        }
        run.check();
        // Whatever happened, a place taken is given back.
        for client in 0..run.who.len() {
            if run.world.is_open(client) {
                run.world.lose(client);
            }
        }
        prop_assert_eq!(run.world.hub.connections(), 0);
        run.world.wait_s(4_000_000);
        prop_assert_eq!(run.world.engines.iter().map(|it| it.counters().sessions).sum::<usize>(), 0);
        prop_assert!(run.world.engines.iter().all(|it| it.next_timeout().is_none()));
    }

    // Shows 3.1.1: [MQTT-4.6.0-5], [MQTT-4.6.0-6]; 5.0: [MQTT-4.6.0-5], [MQTT-4.6.0-6].
    #[test]
    fn within_the_limits_every_qos_1_and_2_message_arrives_in_order_whatever_the_connection_does(
        shards in 1..3usize,
        moves in prop::collection::vec(0..6u8, 1..60),
    ) {
        let mut world = World::with(shards, limits());
        world.put(user("ann", &["allow readWrite #"]));
        let publisher = world.connect("ann", "p", V5);
        let mut reader = world.connect_with("ann", lasting(V311, "r"));
        world.subscribe(reader, "a", Q2);
        let (mut got, mut sent) = (Vec::new(), Vec::new());
        for (number, it) in moves.iter().enumerate() {
            match it {
                0 => world.lose(reader),
                1 => world.clients[reader].acks = !world.clients[reader].acks,
                2 => world.clients[reader].reads = !world.clients[reader].reads,
                _ => {
                    let qos = if *it == 3 { Q1 } else { Q2 };
                    world.publish(publisher, "a", qos, &number.to_string());
                    sent.push(format!("q{} {number}", qos.bits()));
                }
            }
            got.append(&mut world.messages(reader));
            if !world.is_open(reader) {
                reader = world.connect_with("ann", lasting(V311, "r"));
                got.append(&mut world.messages(reader));
            }
        }
        world.lose(reader);
        reader = world.connect_with("ann", lasting(V311, "r"));
        got.append(&mut world.messages(reader));
        prop_assert_eq!(world.view("r").unwrap().in_flight, 0);
        let mut first_seen = HashSet::new();
        let once: Vec<_> = got
            .iter()
            .map(|it| it.replace("a ", "").replace(" d", "").replace(':', ""))
            .filter(|it| first_seen.insert(it.clone()))
            .collect();
        prop_assert_eq!(once, sent);
    }
}
