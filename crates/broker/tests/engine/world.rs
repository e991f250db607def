//! Engines on a fake network with a fake clock. Clients speak packets through the codec, acknowledge
//! what they get unless told not to, and note everything.

use std::collections::VecDeque;
use std::sync::Arc;

use access::{AuthMethod, Authenticated, Policy, PolicyChange, Proof, User};
use arc_swap::ArcSwap;
use broker::{
    Attach, ClientView, ConnectionId, ConnectionLost, Effect, Engine, Fetch, HeldInput, Hub,
    Limits, Peer, Record, Report, ShardId, ShardMessage, shard_of,
};
use mqtt::{
    Connect, DecodeLimits, Decoded, Disconnect, OutgoingPublish, Packet, PacketId, ProtocolVersion,
    Qos, ReasonCode, SubscribeOptions, Timestamp, Unsubscribe,
};
use topic::SubscriptionFilter;

mod client;
mod disk;

pub(crate) use crate::users::{prefixed, user};
pub(crate) use mqtt::ProtocolVersion::{V5, V311};
pub(crate) const Q0: Qos = Qos::AtMostOnce;
pub(crate) const Q1: Qos = Qos::AtLeastOnce;
pub(crate) const Q2: Qos = Qos::ExactlyOnce;

pub(crate) struct World {
    pub(crate) hub: Arc<Hub>,
    pub(crate) engines: Vec<Engine>,
    pub(crate) policy: Arc<ArcSwap<Policy>>,
    pub(crate) now: Timestamp,
    pub(crate) clients: Vec<Client>,
    pub(crate) reports: Vec<Report>,
    pub(crate) records: Vec<Record>,
    /// What is durable, in order.
    pub(crate) disk: Vec<Record>,
    /// Commits do not come by themselves: the disk is slow.
    pub(crate) is_disk_slow: bool,
    uncommitted: Vec<Vec<Record>>,
    commits: VecDeque<(usize, u64, Vec<Record>)>,
    /// Questions to the disk that are not answered yet.
    pub(crate) fetches: VecDeque<(usize, Fetch)>,
    /// They are answered only when a test says so.
    pub(crate) are_fetches_slow: bool,
    /// What the disk has lost of those that wait: their payloads.
    pub(crate) damaged: Vec<String>,
    /// Everything that happened, in order: `persist`, `flush 0`.
    pub(crate) log: Vec<String>,
    /// Nothing gets from shard to shard.
    pub(crate) are_shards_apart: bool,
    between_shards: VecDeque<(ShardId, ShardMessage)>,
    /// Whether those who connect take what is written to them.
    pub(crate) newcomers_read: bool,
}

/// A client, as its handle says.
pub(crate) type C = usize;

pub(crate) struct Client {
    shard: usize,
    pub(crate) id: ConnectionId,
    pub(crate) version: ProtocolVersion,
    pub(crate) is_closed: bool,
    pub(crate) is_paused: bool,
    /// Whether it takes what is written to it.
    pub(crate) reads: bool,
    /// Whether it acknowledges.
    pub(crate) acks: bool,
    unread: Vec<u8>,
    unsent: Vec<u8>,
    aliases: Vec<(u16, String)>,
    /// PUBLISH packets as text: `a/b q1 r d: payload`.
    pub(crate) messages: Vec<String>,
    /// All other packets.
    pub(crate) packets: Vec<Packet<'static>>,
    next_id: u16,
}

pub(crate) fn limits() -> Limits {
    Limits { keep_alive_s_max: 0, ..Limits::default() }
}

impl World {
    pub(crate) fn new(shards: usize) -> World {
        World::with(shards, limits())
    }

    pub(crate) fn with(shards: usize, limits: Limits) -> World {
        let policy = Arc::new(ArcSwap::from_pointee(Policy::empty()));
        let hub = Hub::new(Arc::clone(&policy), shards, limits, 7);
        let engines = (0..shards)
            .map(|shard| Engine::new(ShardId(u16::try_from(shard).unwrap()), Arc::clone(&hub)))
            .collect();
        World {
            hub,
            engines,
            policy,
            now: Timestamp(1_000_000),
            clients: Vec::new(),
            reports: Vec::new(),
            records: Vec::new(),
            disk: Vec::new(),
            is_disk_slow: false,
            uncommitted: (0..shards).map(|_| Vec::new()).collect(),
            commits: VecDeque::new(),
            fetches: VecDeque::new(),
            are_fetches_slow: false,
            damaged: Vec::new(),
            log: Vec::new(),
            are_shards_apart: false,
            between_shards: VecDeque::new(),
            newcomers_read: true,
        }
    }

    /// Users who may do everything.
    pub(crate) fn open(shards: usize) -> World {
        let mut world = World::new(shards);
        for user in ["ann", "bob", "cat"] {
            world.user(user, &["allow readWrite #"]);
        }
        world
    }

    // users

    pub(crate) fn user(&mut self, name: &str, rules: &[&str]) {
        self.put(user(name, rules));
    }

    pub(crate) fn put(&mut self, user: User) {
        self.change(PolicyChange::PutUser(user));
    }

    pub(crate) fn change(&mut self, change: PolicyChange) {
        self.policy.store(Arc::new(self.policy.load().apply([change])));
        for engine in &mut self.engines {
            engine.policy_changed(self.now);
        }
        self.run();
    }

    /// Swaps the policy without telling the engines.
    pub(crate) fn change_silently(&mut self, user: User) {
        self.policy.store(Arc::new(self.policy.load().apply([PolicyChange::PutUser(user)])));
    }

    pub(crate) fn proof(&self, name: &str) -> Authenticated {
        let policy = self.policy.load();
        let user = policy.user_by_name(name).unwrap();
        let credential_epoch = user.credential_epoch();
        let proof = Proof { methods: AuthMethod::Password.into(), credential_epoch };
        Authenticated::prove(user, proof).unwrap()
    }

    // connections

    pub(crate) fn connect(&mut self, user: &str, client_id: &str, version: ProtocolVersion) -> C {
        self.connect_with(user, Connect::new(version, client_id))
    }

    /// With a session that outlives the connection.
    pub(crate) fn resume(&mut self, user: &str, client_id: &str, version: ProtocolVersion) -> C {
        self.connect_with(user, lasting(version, client_id))
    }

    pub(crate) fn connect_with(&mut self, user: &str, connect: Connect) -> C {
        self.try_connect(user, connect).unwrap()
    }

    pub(crate) fn try_connect(&mut self, user: &str, connect: Connect) -> Result<C, u8> {
        let proof = self.proof(user);
        self.attach(proof, connect)
    }

    pub(crate) fn attach(&mut self, proof: Authenticated, connect: Connect) -> Result<C, u8> {
        let version = connect.version;
        let assigned_client_id = connect.client_id.is_empty().then(|| "assigned".to_owned());
        let client_id = assigned_client_id.as_deref().unwrap_or(&connect.client_id);
        let shard = usize::from(shard_of(proof.user_id(), client_id, self.engines.len()).0);
        let peer = Peer {
            address: "192.0.2.1:4711".parse().unwrap(),
            listener: "mqtt".into(),
            security: None,
        };
        let attach = Attach { connect: Box::new(connect), assigned_client_id, peer };
        let id =
            self.engines[shard].attach(proof, attach, self.now).map_err(|refused| match version
                .is_v5()
            {
                true => refused.reason.value(),
                false => refused.reason.to_v3_connect_return(),
            })?;
        self.clients.push(Client {
            shard,
            id,
            version,
            is_closed: false,
            is_paused: false,
            reads: self.newcomers_read,
            acks: true,
            unread: Vec::new(),
            unsent: Vec::new(),
            aliases: Vec::new(),
            messages: Vec::new(),
            packets: Vec::new(),
            next_id: 1,
        });
        self.run();
        Ok(self.clients.len() - 1)
    }

    /// Connections of two users, on two shards.
    pub(crate) fn apart(&mut self, one: &str, other: &str) -> (C, C) {
        let one = self.connect(one, "one", V5);
        for number in 0.. {
            let it = self.connect(other, &format!("other-{number}"), V5);
            if self.clients[it].shard != self.clients[one].shard {
                return (one, it);
            }
        }
        unreachable!()
    }

    /// The socket is gone.
    pub(crate) fn lose(&mut self, client: C) {
        let Client { shard, id, .. } = self.clients[client];
        self.clients[client].is_closed = true;
        self.engines[shard].detach(id, ConnectionLost::Failed, self.now);
        self.run();
    }

    pub(crate) fn disconnect(&mut self, client: C) {
        self.send(client, &Packet::Disconnect(Disconnect::new(ReasonCode::Success)));
    }

    // packets

    pub(crate) fn send(&mut self, client: C, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        mqtt::encode(packet, self.clients[client].version, &mut bytes);
        self.send_bytes(client, &bytes);
    }

    pub(crate) fn send_bytes(&mut self, client: C, bytes: &[u8]) {
        self.clients[client].unsent.extend_from_slice(bytes);
        self.feed(client);
        self.run();
    }

    fn feed(&mut self, client: C) {
        let it = &mut self.clients[client];
        if it.is_closed || it.unsent.is_empty() {
            return;
        }
        if it.is_paused {
            let engine = &mut self.engines[it.shard];
            if engine.may_hold(it.id, it.unsent.len()) {
                let mut held = HeldInput::new(std::mem::take(&mut it.unsent));
                engine.receive_held(it.id, &mut held, self.now);
                it.unsent = held.into_rest();
            }
            return;
        }
        let used = self.engines[it.shard].receive(it.id, &it.unsent, self.now);
        it.unsent.drain(..used);
    }

    /// Publishes; the exchange goes on by itself. Returns the code of PUBACK or PUBREC.
    pub(crate) fn publish(
        &mut self,
        client: C,
        topic: &str,
        qos: Qos,
        payload: &str,
    ) -> Option<u8> {
        self.publish_with(client, OutgoingPublish { qos, ..message(topic, payload) })
    }

    pub(crate) fn retain(&mut self, client: C, topic: &str, payload: &str) -> Option<u8> {
        let retained = OutgoingPublish { retain: true, qos: Q1, ..message(topic, payload) };
        self.publish_with(client, retained)
    }

    pub(crate) fn publish_with(&mut self, client: C, publish: OutgoingPublish<'_>) -> Option<u8> {
        let it = &mut self.clients[client];
        let packet_id = publish.packet_id.or_else(|| {
            it.next_id += 1;
            PacketId::new(it.next_id)
        });
        let packet_id = packet_id.filter(|_| publish.qos > Q0);
        let mut bytes = Vec::new();
        let publish = OutgoingPublish { packet_id, ..publish };
        mqtt::encode_publish(&publish, it.version, &mut bytes);
        it.packets.clear();
        self.send_bytes(client, &bytes);
        self.clients[client].packets.iter().find_map(|packet| match packet {
            Packet::PubAck(ack) | Packet::PubRec(ack) => Some(ack.reason.value()),
            _ => None,
        })
    }

    pub(crate) fn subscribe(&mut self, client: C, filter: &str, qos: Qos) -> u8 {
        self.subscribe_with(client, &[(filter, SubscribeOptions::qos(qos))], None)[0]
    }

    pub(crate) fn subscribe_with(
        &mut self,
        client: C,
        filters: &[(&str, SubscribeOptions)],
        identifier: Option<u32>,
    ) -> Vec<u8> {
        let parse = |filter: &str| SubscriptionFilter::parse(filter).unwrap();
        self.clients[client].packets.clear();
        self.send(
            client,
            &Packet::Subscribe(mqtt::Subscribe {
                packet_id: PacketId::new(60_000).unwrap(),
                subscription_identifier: identifier,
                filters: filters
                    .iter()
                    .map(|(filter, options)| (parse(filter).into(), *options))
                    .collect(),
                user_properties: Vec::new(),
            }),
        );
        let suback = self.clients[client].packets.iter().find_map(|packet| match packet {
            Packet::SubAck(suback) => Some(suback.reasons.iter().map(|it| it.value()).collect()),
            _ => None,
        });
        suback.expect("a SUBACK")
    }

    pub(crate) fn unsubscribe(&mut self, client: C, filters: &[&str]) -> Vec<u8> {
        self.clients[client].packets.clear();
        self.send(
            client,
            &Packet::Unsubscribe(Unsubscribe {
                packet_id: PacketId::new(60_001).unwrap(),
                filters: filters
                    .iter()
                    .map(|it| SubscriptionFilter::parse(it).unwrap().into())
                    .collect(),
                user_properties: Vec::new(),
            }),
        );
        let unsuback = self.clients[client].packets.iter().find_map(|packet| match packet {
            Packet::UnsubAck(unsuback) => {
                Some(unsuback.reasons.iter().map(|it| it.value()).collect())
            }
            _ => None,
        });
        unsuback.expect("an UNSUBACK")
    }

    /// Sends an UNSUBSCRIBE and waits for nothing.
    pub(crate) fn unsubscribe_silently(&mut self, client: C, filter: &str) {
        self.send(
            client,
            &Packet::Unsubscribe(Unsubscribe {
                packet_id: PacketId::new(60_002).unwrap(),
                filters: vec![SubscriptionFilter::parse(filter).unwrap().into()],
                user_properties: Vec::new(),
            }),
        );
    }

    pub(crate) fn set_acks(&mut self, client: C, acks: bool) {
        self.clients[client].acks = acks;
    }

    pub(crate) fn shard_of(&self, client: C) -> usize {
        self.clients[client].shard
    }

    pub(crate) fn has_commits(&self) -> bool {
        !self.commits.is_empty()
    }

    pub(crate) fn change_while_down(&mut self, user: User) {
        self.change_silently(user);
    }

    pub(crate) fn remove_while_down(&mut self, name: &str) {
        let id = user(name, &[]).id;
        self.policy.store(Arc::new(self.policy.load().apply([PolicyChange::RemoveUser(id)])));
    }

    // what came of it

    /// The messages since the last look.
    pub(crate) fn messages(&mut self, client: C) -> Vec<String> {
        std::mem::take(&mut self.clients[client].messages)
    }

    /// The other packets since the last look.
    pub(crate) fn packets(&mut self, client: C) -> Vec<Packet<'static>> {
        std::mem::take(&mut self.clients[client].packets)
    }

    /// The code of the DISCONNECT that came; `None` if there was none. The connection must be closed.
    pub(crate) fn disconnected(&mut self, client: C) -> Option<u8> {
        assert!(self.clients[client].is_closed, "the connection is open");
        self.packets(client).iter().find_map(|packet| match packet {
            Packet::Disconnect(disconnect) => Some(disconnect.reason.value()),
            _ => None,
        })
    }

    pub(crate) fn session_present(&mut self, client: C) -> bool {
        self.connack(client).session_present
    }

    pub(crate) fn connack(&mut self, client: C) -> mqtt::ConnAck {
        match self.clients[client].packets.first() {
            Some(Packet::ConnAck(connack)) => (**connack).clone(),
            other => panic!("no CONNACK first but {other:?}"),
        }
    }

    pub(crate) fn is_open(&self, client: C) -> bool {
        !self.clients[client].is_closed
    }

    pub(crate) fn view(&self, client_id: &str) -> Option<ClientView> {
        let views = self.engines.iter().flat_map(Engine::clients);
        views.into_iter().find(|view| &*view.client_id == client_id)
    }

    // time

    pub(crate) fn wait_s(&mut self, seconds: u64) {
        let end = self.now.plus_s(seconds);
        loop {
            let next = self.engines.iter().filter_map(Engine::next_timeout).min();
            let Some(next) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            for engine in &mut self.engines {
                engine.handle_timeout(self.now);
            }
            self.run();
        }
        self.now = end;
    }

    /// Runs until nothing happens any more.
    pub(crate) fn run(&mut self) {
        loop {
            let mut is_quiet = true;
            for shard in 0..self.engines.len() {
                while let Some(effect) = self.engines[shard].poll_effect() {
                    is_quiet = false;
                    self.carry_out(shard, effect);
                }
            }
            if !self.are_shards_apart
                && let Some((shard, message)) = self.between_shards.pop_front()
            {
                is_quiet = false;
                self.engines[usize::from(shard.0)].handle_message(message, self.now);
            }
            if is_quiet {
                return;
            }
        }
    }

    fn client_of(&self, shard: usize, id: ConnectionId) -> Option<C> {
        self.clients.iter().position(|client| client.shard == shard && client.id == id)
    }

    fn carry_out(&mut self, shard: usize, effect: Effect) {
        match effect {
            Effect::Persist(record) => {
                self.log.push("persist".into());
                self.uncommitted[shard].push(record.clone());
                self.records.push(record);
            }
            Effect::Commit(number) => {
                let group = std::mem::take(&mut self.uncommitted[shard]);
                self.commits.push_back((shard, number, group));
                if !self.is_disk_slow {
                    self.commit();
                }
            }
            Effect::Report(report) => self.reports.push(report),
            Effect::Fetch(fetch) => {
                self.fetches.push_back((shard, *fetch));
                if !self.are_fetches_slow {
                    self.answer_fetch();
                }
            }
            Effect::Forward(to, message) => self.between_shards.push_back((to, message)),
            Effect::Pause(id) => {
                if let Some(client) = self.client_of(shard, id) {
                    self.clients[client].is_paused = true;
                }
            }
            Effect::Resume(id) => {
                if let Some(client) = self.client_of(shard, id) {
                    self.clients[client].is_paused = false;
                    self.feed(client);
                }
            }
            Effect::Flush(id) => {
                if let Some(client) = self.client_of(shard, id) {
                    self.log.push(format!("flush {client}"));
                    self.read(client);
                }
            }
            Effect::Close(id) => {
                if let Some(client) = self.client_of(shard, id) {
                    self.read(client);
                    self.clients[client].is_closed = true;
                    self.engines[shard].detach(id, ConnectionLost::ByPeer, self.now);
                }
            }
        }
    }

    /// The client takes what there is, and answers.
    pub(crate) fn read(&mut self, client: C) {
        self.read_up_to(client, usize::MAX);
    }

    /// The client takes no more than so many bytes of what there is, and answers.
    pub(crate) fn read_up_to(&mut self, client: C, bytes_max: usize) {
        let it = &mut self.clients[client];
        if !it.reads || it.is_closed {
            return;
        }
        let engine = &mut self.engines[it.shard];
        let mut output = engine.output(it.id).to_vec();
        output.truncate(bytes_max);
        engine.advance_output(it.id, output.len(), self.now);
        it.unread.extend_from_slice(&output);
        let input = std::mem::take(&mut it.unread);
        let mut rest = &input[..];
        let mut answers = Vec::new();
        loop {
            match mqtt::decode(rest, it.version, &DecodeLimits::default()).expect("valid packets") {
                Decoded::Incomplete => break,
                Decoded::Packet { packet, length } => {
                    rest = &rest[length..];
                    it.take(packet, &mut answers);
                }
            }
        }
        it.unread = rest.to_vec();
        if !answers.is_empty() {
            it.unsent.extend_from_slice(&answers);
            self.feed(client);
        }
    }

    /// A stuck client reads again.
    pub(crate) fn unstick(&mut self, client: C) {
        self.clients[client].reads = true;
        self.read(client);
        self.run();
    }
}

/// A connect whose session lasts an hour.
pub(crate) fn lasting(version: ProtocolVersion, client_id: &str) -> Connect {
    let mut connect = Connect::new(version, client_id);
    connect.clean_start = false;
    connect.properties.session_expiry_interval_s = version.is_v5().then_some(3600);
    connect
}

/// A connect with a will on `topic`.
pub(crate) fn with_will(mut connect: Connect, topic: &str, delay_s: u32) -> Connect {
    let properties = mqtt::WillProperties { delay_s, ..Default::default() };
    let topic = topic::TopicName::parse(topic).unwrap();
    let (qos, retain, payload) = (Q1, false, b"gone".to_vec());
    connect.will = Some(mqtt::Will { topic, payload, qos, retain, properties });
    connect
}

pub(crate) fn message<'a>(topic: &'a str, payload: &'a str) -> OutgoingPublish<'a> {
    OutgoingPublish {
        dup: false,
        qos: Q0,
        retain: false,
        topic,
        topic_alias: None,
        packet_id: None,
        message_expiry_interval_s: None,
        subscription_identifiers: &[],
        forwardable: &[],
        payload: payload.as_bytes(),
    }
}
