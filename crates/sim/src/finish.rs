//! Everything calms down: everybody comes back and reads, and then everybody goes for good.

use testkit::Version;
use testkit::judge::{Check, Hello};

use crate::mutation::Mutation;
use crate::people::{PEOPLE, ROOT, TOPICS, all_rights};
use crate::run::Sim;
use crate::setting::LASTING_S;
use crate::world::World;

impl Sim {
    pub(crate) fn finish(&mut self) {
        self.trace.note("everything calms down".to_owned());
        self.world.disk.is_failing = false;
        for person in 0..PEOPLE {
            self.set_rights(person, all_rights());
        }
        for shard in 0..self.world.shards() {
            self.tell_rights(shard);
        }
        for link in self.links.values_mut() {
            link.is_stuck = false;
            link.room = 1 << 20;
        }
        for client in &mut self.clients {
            client.is_sluggish = false;
        }
        self.lose_the_dead();
        self.calm_down();
        self.come_back();
        // Wills that wait, patience with the slow: all of it is over within some seconds.
        for _ in 0..40 {
            self.world.now += 500;
            self.pass_time();
            self.calm_down();
            // Some have lost their connection by what they sent before.
            self.come_back();
        }
        self.check_clients();
        if self.judge.violation().is_none() {
            self.judge.settle();
        }
        if self.judge.violation().is_none() {
            self.go_for_good();
        }
    }

    /// What is half open is noticed at last.
    fn lose_the_dead(&mut self) {
        let dead = self.links.iter().filter(|(_, it)| it.is_dead || it.is_closing);
        for number in dead.map(|(number, _)| *number).collect::<Vec<_>>() {
            if !self.links[&number].is_left {
                self.lose(number, broker::ConnectionLost::Failed);
            }
        }
    }

    /// Every client with a session that lasts, and the last person, are there.
    fn come_back(&mut self) {
        for client in 0..self.clients.len() {
            if self.clients[client].link.is_none() {
                self.connect_plainly(client, false, LASTING_S);
            }
        }
        self.calm_down();
    }

    fn connect_plainly(&mut self, client: usize, is_clean: bool, expiry_s: u32) {
        let it = &self.clients[client];
        let hello = Hello {
            who: it.who,
            shard: self.shard_of(client),
            is_v5: it.version == Version::V5,
            is_clean,
            expiry_s,
            receive_max: None,
            packet_max: u32::MAX,
            alias_max: 0,
            will: None,
        };
        self.open(client, hello, 0);
        if let Some(link) = self.clients[client].link.and_then(|it| self.links.get_mut(&it)) {
            link.room = 1 << 20;
        }
    }

    /// Everything that can go on goes on, until nothing does.
    fn calm_down(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let before = self.trace.hash();
            let shards = self.world.shards();
            for (from, to) in (0..shards).flat_map(|from| (0..shards).map(move |to| (from, to))) {
                while !self.world.between[from][to].is_empty() {
                    self.deliver_between(from, to);
                }
            }
            if self.world.has_to_write() {
                let groups = self.world.pending.len();
                self.write_disk(groups);
            }
            while !self.world.committed.is_empty() {
                self.step_committed();
            }
            while !self.world.fetches.is_empty() {
                self.read_disk(0, true);
            }
            while !self.world.fetched.is_empty() {
                self.take_fetched(0);
            }
            for number in self.links.keys().copied().collect::<Vec<_>>() {
                self.serve(number);
            }
            for client in 0..self.clients.len() {
                let late = self.clients[client].late.drain(..).collect();
                self.send(client, late);
                let due = self.clients[client].due();
                self.send(client, due);
            }
            if self.trace.hash() == before || self.judge.violation().is_some() {
                return;
            }
        }
        self.is_stuck(format!("it does not come to rest within {ROUNDS_MAX} rounds"));
    }

    fn serve(&mut self, number: usize) {
        self.move_up(number, usize::MAX);
        if self.links.get(&number).is_some_and(|it| it.is_dirty) {
            self.flush(number, usize::MAX);
        }
        if self.links.get(&number).is_some_and(|it| !it.down.is_empty() || it.is_closed) {
            self.read(number, usize::MAX);
        }
    }

    fn check_clients(&mut self) {
        for client in &self.clients {
            if client.link.is_none() || !client.is_in {
                let limits = self.world.hub.limits();
                if limits.sessions_per_user_max > 2 {
                    self.judge.accuse(Check::Stuck, format!("{:?} does not get in", client.who));
                }
            } else if !client.unacked.is_empty() || client.asked > 0 {
                let open = (&client.unacked, client.asked);
                self.judge.accuse(Check::Stuck, format!("{:?} waits for {open:?}", client.who));
            }
        }
        if let Some((number, _)) = self.links.iter().find(|(_, it)| it.is_paused) {
            self.judge.accuse(Check::Stuck, format!("{number} is held back for ever"));
        }
        for view in self.world.engines.iter().flat_map(broker::Engine::clients) {
            if view.queued + view.in_flight > 0 && view.connected {
                self.judge.accuse(Check::Stuck, format!("{view:?}"));
            }
        }
    }

    /// Nobody has a session any more, and nothing is retained.
    fn go_for_good(&mut self) {
        for client in 0..self.clients.len() {
            if let Some(number) = self.clients[client].link {
                self.leave(number);
                self.calm_down();
            }
            self.connect_plainly(client, true, 0);
            self.calm_down();
            if self.clients[client].who.0 == ROOT {
                self.clear_retained(client);
            }
            let Some(number) = self.clients[client].link else { continue };
            if self.mutation == Some(Mutation::KeepConnection) && client == 0 {
                continue;
            }
            let goodbye = self.clients[client].disconnect(true, None);
            self.send(client, vec![goodbye]);
            self.leave(number);
            self.calm_down();
        }
        self.check_leftovers(World::leftovers);
        self.check_disk();
        // Who published where is remembered for a day and an hour.
        for _ in 0..=REMEMBERED_HOURS {
            self.world.now += HOUR_MS;
            self.pass_time();
        }
        self.check_leftovers(World::timer_left);
    }

    fn check_leftovers(&mut self, left: fn(&World) -> Option<String>) {
        if self.judge.violation().is_none()
            && let Some(left) = left(&self.world)
        {
            self.judge.accuse(Check::Leftover, left);
        }
    }

    fn clear_retained(&mut self, client: usize) {
        for prefix in ["", "b/", "c/"] {
            for topic in TOPICS {
                self.clients[client].clear(&format!("{prefix}{topic}"));
            }
        }
        self.calm_down();
    }
}

const HOUR_MS: u64 = 3_600_000;
const REMEMBERED_HOURS: u64 = 26;
/// Far more rounds than any run needs.
const ROUNDS_MAX: usize = 2_000;
