//! Bytes from clients to the broker and back.

use std::sync::Arc;

use broker::{Attach, ConnectionLost, DisconnectCause, Effect, Peer, Report, shard_of};
use mqtt::DecodeLimits;
use testkit::Version;
use testkit::judge::{Check, Hello, Taken};

use crate::client::Packet2;
use crate::link::Link;
use crate::mutation::Mutation;
use crate::people::user_id;
use crate::run::Sim;

impl Sim {
    /// A client opens a connection and sends CONNECT.
    pub(crate) fn open(&mut self, client: usize, mut hello: Hello, keep_alive_s: u16) {
        let number = self.next_link;
        self.next_link += 1;
        let it = &mut self.clients[client];
        if it.version == Version::V311 {
            hello.receive_max = None;
            hello.packet_max = u32::MAX;
            hello.alias_max = 0;
            hello.expiry_s = if hello.is_clean { 0 } else { crate::setting::LASTING_S };
        }
        let bytes = it.connect(number, &hello, keep_alive_s);
        self.trace.note(format!("{:?} opens {number}: {hello:?}", it.who));
        let room = self.choices.pick(&[64, 1_000, 100_000]);
        let mut link = Link::new(client, hello.shard, hello, room);
        link.send(&bytes, None);
        self.links.insert(number, link);
    }

    pub(crate) fn shard_of(&self, client: usize) -> usize {
        let it = &self.clients[client];
        let shard = shard_of(user_id(it.who.0), &it.name(), self.world.shards());
        usize::from(shard.0)
    }

    /// A client sends packets on its connection.
    pub(crate) fn send(&mut self, client: usize, packets: Vec<Packet2>) {
        let it = &self.clients[client];
        let Some(link) = it.link.and_then(|number| self.links.get_mut(&number)) else { return };
        for (bytes, taken) in packets {
            self.trace.note(format!("{:?} sends {taken:?}", it.who));
            if self.mutation == Some(Mutation::LosePuback)
                && matches!(taken, Taken::PubAck(id) if id % 2 == 1)
            {
                continue;
            }
            link.send(&bytes, Some(taken));
        }
    }

    pub(crate) fn step_up(&mut self) {
        let Some(number) = self.any_link(Link::has_input) else { return };
        let link = &self.links[&number];
        let length = match self.choices.below(3) {
            0 => 1 + self.choices.below(40),
            _ => link.up.len(),
        };
        self.move_up(number, length);
    }

    /// The broker reads so many bytes of a connection, if they have arrived.
    pub(crate) fn move_up(&mut self, number: usize, length: usize) {
        let Some(link) = self.links.get_mut(&number) else { return };
        if link.is_paused && !link.is_closed && !link.is_closing {
            return self.hold(number, length);
        }
        if link.is_closed || link.is_closing {
            if link.is_left && link.is_closing {
                self.lose(number, ConnectionLost::ByPeer);
            }
            return;
        }
        let length = length.min(link.up.len());
        if length == 0 && !link.is_resumed {
            if link.is_left {
                self.lose(number, ConnectionLost::ByPeer);
            }
            return;
        }
        link.is_resumed = false;
        link.unused.extend(&link.up.drain(..length).collect::<Vec<_>>());
        self.trace.note(format!("{number} brings {length} bytes"));
        if link.id.is_none() {
            self.attach(number);
        }
        self.feed(number);
    }

    /// The same of a connection that is held back: acknowledgements are taken, the rest waits.
    fn hold(&mut self, number: usize, length: usize) {
        let Some(link) = self.links.get_mut(&number) else { return };
        let (Some(id), shard) = (link.id, link.shard) else { return };
        let at = self.world.at();
        let engine = &mut self.world.engines[shard];
        if !engine.may_hold(id, link.unused.bytes().len()) {
            return;
        }
        let length = length.min(link.up.len());
        link.unused.extend(&link.up.drain(..length).collect::<Vec<_>>());
        let waited = link.unused.bytes().to_vec();
        engine.receive_held(id, &mut link.unused, at);
        let arrived = link.taken_early(&waited);
        if length == 0 && arrived.is_empty() {
            return;
        }
        self.trace.note(format!("{number} brings {length} bytes while it is held back"));
        self.take_in(number, arrived);
    }

    fn attach(&mut self, number: usize) {
        let Some(link) = self.links.get_mut(&number) else { return };
        let decoded = mqtt::decode_connect(link.unused.bytes(), &DecodeLimits::default());
        let Ok(Some((connect, length))) = decoded else { return };
        link.unused.advance(length);
        link.used += u64::try_from(length).expect("fits");
        let (shard, Some(hello)) = (link.shard, link.hello.take()) else { return };
        let mut person = hello.who.0;
        if self.mutation == Some(Mutation::SwapPeople) && person < 2 {
            person = 1 - person;
        }
        let proof = self.world.prove(person);
        let peer = Peer {
            address: ([192, 0, 2, 1], 4711).into(),
            listener: "mqtt".into(),
            security: None,
        };
        let attach = Attach { connect, assigned_client_id: None, peer };
        let at = self.world.at();
        let attached = proof.map(|it| self.world.engines[shard].attach(it, attach, at));
        match attached {
            Some(Ok(id)) => {
                self.trace.note(format!("{number} is in"));
                self.ids.insert((shard, id), number);
                self.links.get_mut(&number).expect("it is there").id = Some(id);
                let now = self.world.now;
                self.judge.greet(number, hello, now);
            }
            other => {
                self.trace.note(format!("{number} is refused: {other:?}"));
                self.shut(number);
            }
        }
        self.pump(shard);
    }

    fn feed(&mut self, number: usize) {
        let Some(link) = self.links.get_mut(&number) else { return };
        let (Some(id), shard) = (link.id, link.shard) else { return };
        if link.is_closing || link.is_closed || link.is_paused {
            return;
        }
        let at = self.world.at();
        let input = link.unused.bytes().to_vec();
        let doubled = self.doubled(number, &input);
        let engine = &mut self.world.engines[shard];
        let used = engine.receive(id, &input, at);
        if let Some(bytes) = doubled {
            engine.receive(id, &bytes, at);
        }
        let link = self.links.get_mut(&number).expect("it is there");
        link.unused.advance(used);
        link.used += u64::try_from(used).expect("fits");
        let arrived = link.arrived();
        self.take_in(number, arrived);
    }

    /// Does what the engine makes of what has arrived.
    fn take_in(&mut self, number: usize, arrived: Vec<Taken>) {
        let link = &self.links[&number];
        let (Some(id), shard) = (link.id, link.shard) else { return };
        let effects = self.effects(shard);
        let is_closed =
            effects.iter().any(|it| matches!(it, Effect::Close(closed) if *closed == id));
        self.show(
            number,
            arrived,
            is_closed.then(|| cause(&effects, self.links[&number].client, self)),
        );
        self.carry_out(shard, effects);
    }

    /// For one mutation: what a QoS 2 message among this looks like with another packet id.
    fn doubled(&mut self, number: usize, input: &[u8]) -> Option<Vec<u8>> {
        if self.mutation != Some(Mutation::RepeatPublish) {
            return None;
        }
        let link = &self.links[&number];
        let (end, taken) = link.marks.front()?;
        let Taken::Publish(sent, id) = taken else { return None };
        let length = usize::try_from(end - link.used).ok()?;
        if sent.qos != 2 || length > input.len() {
            return None;
        }
        let mut bytes = input[..length].to_vec();
        let at = bytes.windows(2).rposition(|it| it == id.to_be_bytes())?;
        bytes[at..at + 2].copy_from_slice(&(30_001 + id % 5_000).to_be_bytes());
        Some(bytes)
    }

    /// Shows the judge what was taken in.
    fn show(&mut self, number: usize, arrived: Vec<Taken>, end: Option<Option<DisconnectCause>>) {
        let now = self.world.now;
        let is_hidden = self.mutation == Some(Mutation::HideAcknowledgement);
        let has_nonsense = arrived.iter().any(|it| matches!(it, Taken::Nonsense));
        for taken in arrived {
            let is_sure = match end {
                None | Some(Some(DisconnectCause::ByClient(_))) => true,
                Some(Some(DisconnectCause::Protocol(..))) => has_nonsense,
                Some(_) => false,
            };
            if matches!(taken, Taken::Nonsense) && end.is_some() {
                return;
            }
            let is_last = matches!(taken, Taken::Disconnect { .. });
            if is_hidden && matches!(taken, Taken::PubAck(_) | Taken::PubComp(_)) {
                continue;
            }
            self.judge.take(number, &taken, is_sure, now);
            if is_last && is_sure {
                return;
            }
        }
        let link = &self.links[&number];
        if let Some(Some(DisconnectCause::Protocol(reason, text))) = end
            && !link.is_wild
        {
            let text = format!("{number} kept to the rules and was cut off: {reason:?} {text}");
            self.judge.accuse(Check::Protocol, text);
        }
    }

    /// The socket is gone for the broker.
    pub(crate) fn lose(&mut self, number: usize, lost: ConnectionLost) {
        let Some(link) = self.links.get(&number) else { return };
        if link.is_closed {
            return;
        }
        self.trace.note(format!("{number} is lost: {lost:?}"));
        let (id, shard) = (link.id, link.shard);
        self.shut(number);
        if let Some(id) = id {
            let (at, now) = (self.world.at(), self.world.now);
            self.world.engines[shard].detach(id, lost, at);
            self.judge.end(number, now);
            self.pump(shard);
        }
    }

    /// The broker's side of a connection is closed; the client may still read what is on its way.
    fn shut(&mut self, number: usize) {
        let Some(link) = self.links.get_mut(&number) else { return };
        link.is_closed = true;
        link.up.clear();
        if let Some(id) = link.id {
            self.ids.remove(&(link.shard, id));
        }
        if link.down.is_empty() || link.is_dead || self.clients[link.client].link != Some(number) {
            self.forget(number);
        }
    }

    /// Neither side has anything to do with it any more.
    pub(crate) fn forget(&mut self, number: usize) {
        let Some(link) = self.links.remove(&number) else { return };
        let client = &mut self.clients[link.client];
        if client.link == Some(number) {
            client.leave();
        }
    }

    pub(crate) fn step_flush(&mut self) {
        if let Some(number) = self.any_link(Link::has_output) {
            let length =
                if self.choices.chance(1, 3) { 1 + self.choices.below(50) } else { 1 << 20 };
            self.flush(number, length);
        }
    }

    /// The broker writes at most so many bytes to a connection.
    pub(crate) fn flush(&mut self, number: usize, length: usize) {
        let Some(link) = self.links.get_mut(&number) else { return };
        let (Some(id), shard) = (link.id, link.shard) else { return };
        let output = self.world.engines[shard].output(id);
        let length = length.min(output.len()).min(link.room.saturating_sub(link.down.len()));
        let mut bytes = output[..length].to_vec();
        let at = self.world.at();
        self.world.engines[shard].advance_output(id, length, at);
        self.mutate_output(number, &mut bytes);
        let link = self.links.get_mut(&number).expect("it is there");
        self.trace.note(format!("{number} is written {bytes:02x?}"));
        link.down.extend(&bytes);
        self.judge.write(number, &bytes);
        self.trace.is_over = self.judge.violation().is_some();
        let engine = &self.world.engines[shard];
        link.is_dirty = !engine.output(id).is_empty();
        let is_said = !link.is_dirty && link.is_closing && !engine.is_held(id);
        self.pump(shard);
        if is_said {
            self.lose(number, ConnectionLost::Failed);
        }
    }

    pub(crate) fn step_read(&mut self) {
        if let Some(number) = self.any_link(Link::is_readable) {
            let length =
                if self.choices.chance(1, 3) { 1 + self.choices.below(20) } else { 1 << 20 };
            self.read(number, length);
        }
    }

    /// The client reads at most so many bytes.
    pub(crate) fn read(&mut self, number: usize, length: usize) {
        let Some(link) = self.links.get_mut(&number) else { return };
        let length = length.min(link.down.len());
        let bytes: Vec<_> = link.down.drain(..length).collect();
        let (client, is_over) = (link.client, link.is_closed && link.down.is_empty());
        if self.clients[client].link == Some(number) {
            let serial = self.judge.session_serial(self.clients[client].who);
            match self.clients[client].take(&bytes, serial) {
                Err(text) => self.judge.accuse(Check::Protocol, text),
                Ok(None) => self.leave(number),
                Ok(Some(answers)) => {
                    self.send(client, answers);
                    let due = self.clients[client].due();
                    self.send(client, due);
                }
            }
        }
        if is_over {
            self.forget(number);
        }
    }

    /// The client closes its side; what it has sent before still arrives.
    pub(crate) fn leave(&mut self, number: usize) {
        let Some(link) = self.links.get_mut(&number) else { return };
        link.is_left = true;
        let (client, is_closed) = (link.client, link.is_closed);
        if self.clients[client].link == Some(number) {
            self.clients[client].leave();
        }
        link.is_dead = true;
        if is_closed {
            self.forget(number);
        }
    }

    /// Does what a shard wants done.
    pub(crate) fn pump(&mut self, shard: usize) {
        let effects = self.effects(shard);
        self.carry_out(shard, effects);
    }

    pub(crate) fn pump_all(&mut self) {
        (0..self.world.shards()).for_each(|shard| self.pump(shard));
    }

    fn effects(&mut self, shard: usize) -> Vec<Effect> {
        let loses = self.mutation == Some(Mutation::LoseRecord);
        self.world.effects(shard, |it| loses && matches!(it, broker::Record::QueuedPut { .. }))
    }

    fn carry_out(&mut self, shard: usize, effects: Vec<Effect>) {
        for effect in effects {
            let number = |id| self.ids.get(&(shard, id)).copied();
            let found = match &effect {
                Effect::Flush(id) | Effect::Close(id) | Effect::Pause(id) | Effect::Resume(id) => {
                    number(*id)
                }
                _ => None,
            };
            if let Effect::Report(Report::SlowConsumer { client, .. }) = &effect {
                self.note_slow(client);
            }
            let Some(number) = found else { continue };
            let Some(link) = self.links.get_mut(&number) else { continue };
            match effect {
                Effect::Flush(_) => link.is_dirty = true,
                Effect::Close(_) => {
                    (link.is_closing, link.is_dirty) = (true, true);
                    let now = self.world.now;
                    self.judge.end(number, now);
                }
                Effect::Pause(_) => link.is_paused = true,
                Effect::Resume(_) => (link.is_paused, link.is_resumed) = (false, true),
                _ => {}
            }
        }
        self.judge.note_dropped(self.world.dropped());
        self.trace.is_over = self.judge.violation().is_some();
    }

    fn note_slow(&mut self, client: &Arc<broker::ClientName>) {
        let is_it = |it: &&crate::client::Client| {
            user_id(it.who.0) == client.user && *it.name() == *client.client_id
        };
        if let Some(it) = self.clients.iter().find(is_it) {
            self.judge.note_dropping(it.who);
        }
    }
}

/// Why the connection of this client was ended, if that was said.
fn cause(effects: &[Effect], client: usize, sim: &Sim) -> Option<DisconnectCause> {
    let who = &sim.clients[client];
    effects.iter().find_map(|it| match it {
        Effect::Report(Report::Disconnected { client, why })
            if client.user == user_id(who.who.0) && *client.client_id == *who.name() =>
        {
            Some(*why)
        }
        _ => None,
    })
}
