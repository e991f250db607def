//! One shard: a thread with one engine, the connections that it owns, and nothing that waits for anything else.
//!
//! A round: every connection that has bytes reads once and feeds the engine; then the flusher, which was queued behind
//! them, writes once to every connection that has output. No borrow of the engine lives across an `await`.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use access::Policy;
use admin::{RefusalSink, RefusedRequest};
use broker::{
    Attach, AttachRefusal, AttachRefused, ClientView, ConnectionId, ConnectionLost, Effect, Engine,
    Forecast, PolicyMoved, Progress, ProofEnd, Report, SessionKey, ShardId,
};
use hashbrown::HashSet;
use mqtt::{ReasonCode, Timestamp};
use tokio::sync::{Notify, oneshot};

use super::clock::{self, Stopwatch};
use super::inbox::{Inbox, Newcomer, Order};
use super::link::Link;
use super::links::Links;
use super::metrics::{CONNECTS_REFUSED, Metrics};
use super::proven::{self, Proven};
use super::remainder::{READ_BYTES_MAX, Remainder};
use super::report;
use super::sources::Pulse;
use super::state::{Journal, Records};
use super::transport::Transport;
use super::turns::{self, Turns};
use super::{farewell, refusal};

/// One shard, on its thread.
pub(crate) struct Shard {
    id: ShardId,
    engine: RefCell<Engine>,
    links: RefCell<Links>,
    turns: Arc<Turns>,
    /// Connections with output, each once a round.
    dirty: RefCell<Vec<ConnectionId>>,
    flush: Notify,
    /// All reads of the shard go through it; the first half takes what was left over from before.
    scratch: RefCell<Box<[u8]>>,
    inboxes: Arc<[Inbox]>,
    /// `None`: nothing is kept.
    journal: Option<Arc<Journal>>,
    /// What is to be durable together.
    records: RefCell<Records>,
    /// What was refused in this round, and where it goes.
    refused: RefCell<Vec<RefusedRequest>>,
    refusals: RefusalSink,
    /// Those whose proof can end by itself.
    proven: Proven,
    /// An inbox that is too full, if any; no client is read until it has room.
    congested: Cell<Option<usize>>,
    congestion: Notify,
    held_back: RefCell<HashSet<ConnectionId>>,
    /// When the engine next wants to be woken.
    alarm: Cell<Option<Timestamp>>,
    alarm_changed: Notify,
    linger: Duration,
    /// When the first had its turn in the round that is under way.
    round: Cell<Option<Stopwatch>>,
    pulses: Arc<[Pulse]>,
    metrics: Arc<Metrics>,
    is_stopping: Cell<bool>,
    /// Shared with those who are closing their sockets.
    leaving: Rc<()>,
}

/// Where a shard tells how it is doing.
#[derive(Clone)]
pub(crate) struct Watched {
    /// Of all shards, by number.
    pub(crate) pulses: Arc<[Pulse]>,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// Where refusals go.
    pub(crate) refusals: RefusalSink,
}

impl Shard {
    /// The shard `id` around its engine.
    pub(crate) fn new(
        id: ShardId,
        engine: Engine,
        inboxes: Arc<[Inbox]>,
        journal: Option<Arc<Journal>>,
        proven: Proven,
        watched: Watched,
        linger: Duration,
    ) -> Rc<Self> {
        Rc::new(Self {
            id,
            engine: RefCell::new(engine),
            links: RefCell::default(),
            turns: Turns::new(),
            dirty: RefCell::default(),
            flush: Notify::new(),
            scratch: RefCell::new(vec![0; READ_BYTES_MAX * 2].into()),
            inboxes,
            journal,
            records: RefCell::default(),
            refused: RefCell::default(),
            refusals: watched.refusals,
            proven,
            congested: Cell::new(None),
            congestion: Notify::new(),
            held_back: RefCell::default(),
            alarm: Cell::new(None),
            alarm_changed: Notify::new(),
            linger,
            round: Cell::new(None),
            pulses: watched.pulses,
            metrics: watched.metrics,
            is_stopping: Cell::new(false),
            leaving: Rc::new(()),
        })
    }

    /// Takes in a client that has proven who it is.
    fn adopt(self: &Rc<Self>, newcomer: Newcomer) {
        let Newcomer { detached, rest, authenticated, attach, seat, identity } = newcomer;
        let hearer = refusal::Hearer::of(&attach.connect);
        let name = report::Newcoming::new(&authenticated, &attach);
        let Ok(transport) = Transport::adopt(detached) else {
            tracing::warn!("a connection was lost: the shard's runtime cannot take it");
            return;
        };
        let attached = if proven::has_lapsed(self, &authenticated, identity.as_deref()) {
            Err(AttachRefused {
                reason: ReasonCode::NotAuthorized,
                why: AttachRefusal::Lapsed(access::Lapse::CredentialsChanged),
            })
        } else {
            self.engine.borrow_mut().attach(authenticated, attach, clock::now())
        };
        match attached {
            Ok(id) => {
                let engine = self.engine.borrow();
                let ends_at_ms = engine.proof_ends_at_ms(id);
                if let Some(session) = engine.session_of(id) {
                    self.proven.insert(id, &session, identity.as_deref(), ends_at_ms);
                }
                drop(engine);
                let (rest, turn) = (Remainder::new(rest), self.turns.of(id));
                let link = Link::new(id, transport, rest, turn, seat, identity);
                link.wake();
                self.links.borrow_mut().insert(link);
            }
            Err(refused) => {
                self.metrics.count_reason(CONNECTS_REFUSED, report::attach_refusal(&refused.why));
                let decision = self.engine.borrow_mut().decide();
                report::attach_refused(&name, &refused, decision);
                self.refused.borrow_mut().push(name.refused(&refused, decision));
                let last = hearer.connack(refused.reason, &decision);
                let leaving = Rc::clone(&self.leaving);
                tokio::task::spawn_local(async move {
                    farewell::say(transport, &last).await;
                    drop((seat, leaving));
                });
            }
        }
        self.end_round();
    }

    /// Bytes of a connection are in the scratch buffer, or it may go on with what was left over.
    pub(crate) fn received(&self, link: &Link, length: usize) {
        let mut engine = self.engine.borrow_mut();
        let now = clock::now();
        let mut scratch = self.scratch.borrow_mut();
        if engine.is_held_back(link.id()) {
            link.hold(&scratch, length, |input| engine.receive_held(link.id(), input, now));
        } else {
            link.feed(&mut scratch, length, |input| engine.receive(link.id(), input, now));
        }
        self.end_round();
    }

    /// A connection is gone for the engine. Until what is returned is dropped, it may still close its socket gently.
    pub(crate) fn ended(&self, link: &Link, lost: ConnectionLost) -> Rc<()> {
        self.links.borrow_mut().remove(link.id());
        let mut engine = self.engine.borrow_mut();
        engine.detach(link.id(), lost, clock::now());
        if let Some(session) = self.proven.remove(link.id())
            && let Some(identity) = link.identity()
            && engine.waiting_will_ms(&session, clock::now()).is_some()
        {
            self.proven.keep_will(session, identity);
        }
        drop(engine);
        self.end_round();
        Rc::clone(&self.leaving)
    }

    /// Ends a connection whose proof is not good any more, with this code for MQTT 5.
    pub(crate) fn end_lapsed(&self, id: ConnectionId, end: ProofEnd, reason: ReasonCode) {
        self.engine.borrow_mut().end_lapsed(id, end, reason, clock::now());
        self.end_round();
    }

    /// Takes a will that is still to be sent: the proof of whoever has left it was withdrawn.
    pub(crate) fn withdraw_waiting_will(&self, session: &SessionKey) {
        self.engine.borrow_mut().withdraw_waiting_will(session, clock::now());
        self.end_round();
    }

    /// The link of this connection, if it is still there.
    pub(crate) fn link(&self, id: ConnectionId) -> Option<Rc<Link>> {
        self.links.borrow().get(id).map(Rc::clone)
    }

    /// Whose turn it is.
    pub(crate) fn turns(&self) -> &Turns {
        &self.turns
    }

    /// Those whose proof can end by itself.
    pub(crate) fn proven(&self) -> &Proven {
        &self.proven
    }

    /// The engine, to look at output.
    pub(crate) fn engine(&self) -> Ref<'_, Engine> {
        self.engine.borrow()
    }

    /// Output was written. Says whether there is more.
    pub(crate) fn advance_output(&self, id: ConnectionId, written: usize) -> bool {
        let mut engine = self.engine.borrow_mut();
        engine.advance_output(id, written, clock::now());
        !engine.output(id).is_empty()
    }

    /// Notes that a connection has output.
    pub(crate) fn has_output(&self, id: ConnectionId) {
        self.dirty.borrow_mut().push(id);
        self.end_round();
    }

    /// The buffer that reads go to.
    pub(crate) fn scratch(&self) -> RefMut<'_, Box<[u8]>> {
        self.scratch.borrow_mut()
    }

    /// How long a closed connection may take for its last bytes.
    pub(crate) fn linger(&self) -> Duration {
        self.linger
    }

    /// Whether clients may be read; if not, the asking one is woken when they may.
    pub(crate) fn may_read(&self, id: ConnectionId) -> bool {
        let is_free = self.congested.get().is_none() && !self.waits_for_disk(id);
        if !is_free {
            self.held_back.borrow_mut().insert(id);
        }
        is_free
    }

    /// Whether the broker is on its way down.
    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.get()
    }

    /// Sees to it that the flusher runs once those who are ready now have had their turn: all that they make the
    /// engine do is one round.
    fn end_round(&self) {
        if self.round.get().is_none() {
            self.round.set(Some(Stopwatch::start()));
        }
        self.flush.notify_one();
    }

    /// Does what the engine asks for.
    fn carry_out(&self) {
        let mut engine = self.engine.borrow_mut();
        while let Some(effect) = engine.poll_effect() {
            match effect {
                Effect::Persist(record) => self.records.borrow_mut().put(&record),
                Effect::Commit(number) => {
                    if let Some(journal) = &self.journal {
                        let records = self.records.take();
                        *self.records.borrow_mut() = journal.write(self.id, number, records);
                    }
                }
                Effect::Flush(id) => self.dirty.borrow_mut().push(id),
                Effect::Close(id) => {
                    self.with_link(id, Link::close);
                    self.dirty.borrow_mut().push(id);
                }
                Effect::Pause(id) => self.with_link(id, Link::pause),
                Effect::Resume(id) => self.with_link(id, Link::resume),
                Effect::Forward(shard, message) => self.forward(shard, message),
                Effect::Fetch(fetch) => {
                    if let Some(journal) = &self.journal {
                        journal.fetch(self.id, *fetch);
                    }
                }
                Effect::Report(report) => {
                    self.metrics.count_report(&report);
                    report::log(&report);
                    if let Report::Refused(refusal) = &report {
                        self.refused.borrow_mut().push(report::refused_request(refusal));
                    }
                }
            }
        }
        if !self.refused.borrow().is_empty() {
            self.refusals.hand_over(self.refused.take());
        }
        let alarm = engine.next_timeout();
        drop(engine);
        if self.alarm.replace(alarm) != alarm {
            self.alarm_changed.notify_one();
        }
    }

    /// Whether what this client makes the disk do has to become less first.
    fn waits_for_disk(&self, id: ConnectionId) -> bool {
        self.journal.as_ref().is_some_and(|journal| journal.is_full())
            && self.engine.borrow().awaits_commit(id)
    }

    fn wake_held_back(&self) {
        for id in self.held_back.take() {
            self.with_link(id, Link::wake);
        }
    }

    fn is_alone(&self) -> bool {
        self.links.borrow().len() == 0 && Rc::strong_count(&self.leaving) == 1
    }

    fn with_link(&self, id: ConnectionId, act: impl FnOnce(&Link)) {
        if let Some(link) = self.links.borrow().get(id) {
            act(link);
        }
    }

    fn forward(&self, shard: ShardId, message: broker::ShardMessage) {
        let index = usize::from(shard.0);
        let Some(inbox) = self.inboxes.get(index) else { return };
        // A shard that has stopped takes nothing; then the whole broker is stopping.
        drop(inbox.send(Order::Message(message)));
        if inbox.is_full() && self.congested.get().is_none() {
            self.congested.set(Some(index));
            self.congestion.notify_one();
        }
    }

    /// Adopts a newcomer, unless all is coming to an end. One that takes over waits until what the former connection
    /// had received by now is read: a client that says goodbye and is back at once has said goodbye.
    fn welcome(self: &Rc<Self>, newcomer: Box<Newcomer>) {
        if self.is_stopping.get() {
            return;
        }
        if !self.takes_over(&newcomer) {
            return self.adopt(*newcomer);
        }
        let shard = Rc::clone(self);
        tokio::task::spawn_local(async move {
            // The runtime looks at its sockets before it comes back here, and those that have input go first.
            tokio::task::yield_now().await;
            if !shard.is_stopping.get() {
                shard.adopt(*newcomer);
            }
        });
    }

    fn takes_over(&self, newcomer: &Newcomer) -> bool {
        let Attach { connect, assigned_client_id, .. } = &newcomer.attach;
        let client_id = assigned_client_id.as_deref().unwrap_or(&connect.client_id);
        self.engine.borrow().is_connected(newcomer.authenticated.user_id(), client_id)
    }

    fn obey(self: &Rc<Self>, order: Order) {
        match order {
            Order::Adopt(newcomer) => return self.welcome(newcomer),
            Order::Message(message) => {
                self.engine.borrow_mut().handle_message(message, clock::now());
            }
            Order::Clients(reply) => drop(reply.send(self.engine.borrow().clients())),
            Order::Counters(reply) => {
                let (engine, links) = (self.engine.borrow(), self.links.borrow());
                drop(reply.send((engine.counters(), engine.census_with(links.held_input()))));
            }
            Order::System(values) => {
                self.engine.borrow_mut().publish_system(&values, clock::now());
            }
            Order::MemoryChanged => self.engine.borrow_mut().memory_changed(clock::now()),
            Order::Client(user, client_id, reply) => {
                let clients = self.engine.borrow().clients();
                let is_meant = |one: &ClientView| one.user == user && *one.client_id == *client_id;
                drop(reply.send(clients.into_iter().find(is_meant)));
            }
            Order::Foresee(base, next, reply) => {
                tokio::task::spawn_local(Rc::clone(self).foresee(base, next, reply));
                return;
            }
            Order::Kick(user, client_id, reply) => {
                let reason = ReasonCode::AdministrativeAction;
                let mut engine = self.engine.borrow_mut();
                let was_there = engine.kick(user, &client_id, reason, clock::now());
                // Whoever asked may have gone.
                reply.send(was_there).unwrap_or_default();
            }
            Order::Stop => {
                self.is_stopping.set(true);
                self.engine.borrow_mut().shut_down(clock::now());
            }
        }
        self.end_round();
    }

    /// Looks at a few clients at a time, and lets whoever is ready have a turn in between.
    async fn foresee(
        self: Rc<Self>,
        base: u64,
        next: Arc<Policy>,
        reply: oneshot::Sender<Result<Forecast, PolicyMoved>>,
    ) {
        let mut forecast = self.engine.borrow().forecast(base, next);
        // Whoever asked may have gone.
        while !reply.is_closed() {
            let progress = self.engine.borrow_mut().forecast_more(
                &mut forecast,
                FORECAST_STEPS_A_TURN,
                clock::now(),
            );
            // It may have been the first to see a new policy.
            self.end_round();
            match progress {
                Ok(Progress::More) => tokio::task::yield_now().await,
                Ok(Progress::Done) => return drop(reply.send(Ok(forecast))),
                Err(moved) => return drop(reply.send(Err(moved))),
            }
        }
    }

    /// Ends the round: does what the engine asks for, and writes once to every connection that has output.
    fn finish_round(&self) {
        let round = self.round.take();
        self.carry_out();
        let dirty = std::mem::take(&mut *self.dirty.borrow_mut());
        for id in &dirty {
            if self.link(*id).is_some_and(|link| link.flush(self)) {
                self.has_output(*id);
            }
        }
        // The next round uses the memory of this one.
        let mut next = self.dirty.borrow_mut();
        if next.is_empty() {
            *next = dirty;
            next.clear();
        }
        drop(next);
        // Taken output may have let the engine go on with what had to wait.
        self.carry_out();
        if let (Some(round), Some(pulse)) = (round, self.pulses.get(usize::from(self.id.0))) {
            pulse.count(round.elapsed());
        }
        if !self.dirty.borrow().is_empty() {
            self.end_round();
        }
    }
}

/// Runs the shard until it is told to stop and its clients have their last bytes, or `stop_timeout` is over.
pub(crate) async fn run(
    shard: Rc<Shard>,
    mut orders: tokio::sync::mpsc::UnboundedReceiver<Order>,
    mut policy_changes: tokio::sync::watch::Receiver<u64>,
    stop_timeout: Duration,
) {
    // It does as much as there is in one go: the runtime's budget is meant for tasks that serve one connection.
    tokio::task::spawn_local(tokio::task::unconstrained(turns::give(Rc::clone(&shard))));
    tokio::task::spawn_local(flush(Rc::clone(&shard)));
    tokio::task::spawn_local(watch_time(Rc::clone(&shard)));
    tokio::task::spawn_local(watch_congestion(Rc::clone(&shard)));
    if let Some(journal) = shard.journal.clone() {
        tokio::task::spawn_local(watch_disk(Rc::clone(&shard), journal));
    }
    tokio::task::spawn_local(proven::watch(Rc::clone(&shard)));
    let policed = Rc::clone(&shard);
    tokio::task::spawn_local(async move {
        while policy_changes.changed().await.is_ok() {
            policed.engine.borrow_mut().policy_changed(clock::now());
            policed.end_round();
        }
    });
    // What was read from disk may have something to do, or be due some time, before any client comes.
    shard.end_round();
    take_orders(&shard, &mut orders).await;
    // Other shards may still have something for clients of this one, so orders are taken to the end.
    let goodbye = async {
        while !shard.is_alone() {
            tokio::select! {
                () = take_orders(&shard, &mut orders) => {}
                () = tokio::time::sleep(STOP_TICK) => {}
            }
        }
    };
    if tokio::time::timeout(stop_timeout, goodbye).await.is_err() {
        let left = shard.links.borrow().len();
        tracing::warn!(shard = shard.id.0, left, "stopped before all clients had their last bytes");
    }
}

/// Takes orders until there is one to stop.
async fn take_orders(shard: &Rc<Shard>, orders: &mut tokio::sync::mpsc::UnboundedReceiver<Order>) {
    let mut batch = Vec::new();
    while orders.recv_many(&mut batch, ORDERS_A_TURN).await > 0 {
        let is_message = |order: &&Order| matches!(order, Order::Message(_));
        let messages = batch.iter().filter(is_message).count();
        let is_last = batch.iter().any(|order| matches!(order, Order::Stop));
        for order in batch.drain(..) {
            shard.obey(order);
        }
        if let Some(inbox) = shard.inboxes.get(usize::from(shard.id.0))
            && messages > 0
        {
            inbox.done(messages);
        }
        if is_last {
            return;
        }
    }
}

async fn flush(shard: Rc<Shard>) {
    loop {
        shard.flush.notified().await;
        shard.finish_round();
    }
}

/// Wakes the engine when it asked for it, but never more often than once a tick.
async fn watch_time(shard: Rc<Shard>) {
    loop {
        let now = clock::now();
        match shard.alarm.get() {
            None => shard.alarm_changed.notified().await,
            Some(alarm) if alarm > now => {
                let wait = Duration::from_millis(alarm.since(now)).max(TICK);
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = shard.alarm_changed.notified() => tokio::time::sleep(TICK).await,
                }
            }
            Some(_) => {
                shard.engine.borrow_mut().handle_timeout(now);
                shard.end_round();
                tokio::time::sleep(TICK).await;
            }
        }
    }
}

/// Holds clients back while an inbox is too full.
async fn watch_congestion(shard: Rc<Shard>) {
    loop {
        match shard.congested.get().and_then(|index| shard.inboxes.get(index)) {
            None => shard.congestion.notified().await,
            Some(inbox) => {
                inbox.room().await;
                shard.congested.set(None);
                shard.wake_held_back();
            }
        }
    }
}

/// Lets go of what has waited for the disk.
async fn watch_disk(shard: Rc<Shard>, journal: Arc<Journal>) {
    let mut failures = 0;
    loop {
        let news = journal.changed(shard.id).await;
        shard.engine.borrow_mut().committed(news.committed);
        for fetched in news.fetched {
            shard.engine.borrow_mut().fetched(fetched, clock::now());
        }
        if news.failures != failures {
            failures = news.failures;
            shard.engine.borrow_mut().storage_failed(clock::now());
        }
        if journal.has_room() {
            shard.wake_held_back();
        }
        shard.end_round();
    }
}

/// How exact timeouts are.
const TICK: Duration = Duration::from_millis(50);
const STOP_TICK: Duration = Duration::from_millis(10);
const ORDERS_A_TURN: usize = 64;
/// Of a forecast: a fraction of a millisecond.
const FORECAST_STEPS_A_TURN: usize = 256;
