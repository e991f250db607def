//! "Why was I refused?": the last refusals of each user and client, and what became of the question since.
//!
//! Shards hand over what they refused in batches, and never wait: a batch that finds the queue full is counted and lost.
//! The book decides what is kept; a copy of it is written to disk in the background.

pub(crate) mod book;
pub(crate) mod record;
mod recorder;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use access::{Denial, Request, Rights};
use parking_lot::Mutex;
use store::Store;
use tokio::sync::{mpsc, oneshot};
use topic::{SubscriptionFilter, TopicName};

use self::book::{Book, Wanted};
use self::record::{Class, DecisionId, DecisionOrigin, Record, RefusedRequest, cut};
use crate::admin::Admin;
use crate::attempt::PeerAddress;
use crate::caller::Caller;
use crate::decision_model::{DecisionView, DeedModel, RefusalFilter, RefusalView};
use crate::error::{AdminError, Kind};
use crate::explain::{denied, shown};
use crate::model::{EffectModel, ExplainView, OperationModel, Page, PageRequest};
use crate::protection::{Gate, Locked};
use crate::refused_logins::RefusedLogin;
use crate::settings::RefusalSettings;
use crate::view;

pub(crate) use recorder::start;

/// All that is known of refusals.
pub(crate) struct Decisions {
    run: u32,
    logins: AtomicU64,
    book: Arc<Mutex<Book>>,
    sink: RefusalSink,
    writing: tokio::sync::Mutex<()>,
}

/// Where shards put what they refused. Clones share the queue.
#[derive(Clone, Debug)]
pub struct RefusalSink {
    queue: mpsc::Sender<Handed>,
    left_out: Arc<AtomicU64>,
}

/// What comes through the queue.
#[derive(Debug)]
enum Handed {
    Refused(Vec<RefusedRequest>),
    /// Somebody wants to know that all before is in the book.
    Mark(oneshot::Sender<()>),
}

impl RefusalSink {
    /// Hands over what was refused; waits for nothing. What does not fit is lost, and counted.
    pub fn hand_over(&self, refused: Vec<RefusedRequest>) {
        let count = u64::try_from(refused.len()).unwrap_or(u64::MAX);
        if self.queue.try_send(Handed::Refused(refused)).is_err() {
            self.left_out.fetch_add(count, Ordering::Relaxed);
        }
    }
}

impl Decisions {
    /// Reads what was kept.
    pub(crate) async fn open(
        store: &Store,
        settings: RefusalSettings,
    ) -> Result<(Decisions, recorder::Inlet), AdminError> {
        let run = store.begin_run().await?;
        let mut rows = Vec::new();
        for (number, text) in store.load_refusals().await? {
            let record = serde_json::from_str(&text);
            let record: Record =
                record.map_err(|error| store.corrupt(format!("refusal {number}: {error}")))?;
            rows.push((number, record));
        }
        let book = Arc::new(Mutex::new(Book::restore(rows, settings)));
        let (queue, inlet) = mpsc::channel(BATCHES_MAX);
        let sink = RefusalSink { queue, left_out: Arc::default() };
        let inlet = recorder::Inlet::new(inlet, Arc::clone(&book), Arc::clone(&sink.left_out));
        let writing = tokio::sync::Mutex::default();
        Ok((Decisions { run, logins: AtomicU64::new(0), book, sink, writing }, inlet))
    }

    /// How many refusals of this class are kept.
    pub(crate) fn count_of(&self, class: Class) -> usize {
        self.book.lock().count_of(class)
    }
}

impl Admin {
    /// The number of this run of the broker, which no run before had.
    pub fn run(&self) -> u32 {
        self.shared.decisions.run
    }

    /// Where shards put what they refused.
    pub fn refusal_sink(&self) -> RefusalSink {
        self.shared.decisions.sink.clone()
    }

    /// Keeps a refused login, and names the decision. The name says nothing of why, nor whether there is such a user.
    pub(crate) fn keep_refused_login(&self, refused: &RefusedLogin<'_>) -> DecisionId {
        let decisions = &self.shared.decisions;
        let number = decisions.logins.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let id = DecisionId { run: decisions.run, origin: DecisionOrigin::Login, number };
        let user = refused.username.unwrap_or_default();
        let is_known = self.shared.directory.read().user_named(user).is_some();
        let now_ms = self.now_ms();
        decisions.book.lock().note(Record {
            ids: vec![id],
            class: if is_known { Class::Claimed } else { Class::Unknown },
            user: cut(user, NAME_BYTES_MAX),
            user_id: None,
            client_id: refused.client_id.map(|client_id| cut(client_id, NAME_BYTES_MAX)),
            address: refused.address.to_owned(),
            listener: refused.listener.to_owned(),
            deed: DeedModel::Login,
            resource: None,
            is_cut: false,
            reason: refused.reason.to_owned(),
            because: Vec::new(),
            count: 1,
            first_ms: now_ms,
            last_ms: now_ms,
        });
        id
    }

    /// Shows refusals, the last first.
    ///
    /// # Errors
    /// If the page is none.
    pub async fn list_refusals(
        &self,
        _: &Caller,
        filter: &RefusalFilter,
        page: PageRequest,
    ) -> Result<Page<RefusalView>, AdminError> {
        self.catch_up().await;
        let user = filter.user.as_deref();
        let user_id = {
            let directory = self.shared.directory.read();
            user.and_then(|name| directory.user_named(name)).map(|account| account.user().id.0)
        };
        let (client_id, deed) = (filter.client_id.as_deref(), filter.action);
        let book = self.shared.decisions.book.lock();
        let found = book.list(&Wanted { user, user_id, client_id, deed });
        view::page(found.into_iter(), page, |record| Some(RefusalView::from(record)))
    }

    /// Explains a decision that was made: what was asked, what decided, and what the same question gives now.
    ///
    /// # Errors
    /// If the name is none, or the decision is not among those that are kept.
    pub async fn explain_decision(
        &self,
        _: &Caller,
        decision: &str,
    ) -> Result<DecisionView, AdminError> {
        let id: DecisionId =
            decision.parse().map_err(|error| AdminError::invalid("decision", error))?;
        self.catch_up().await;
        let record = self.shared.decisions.book.lock().find(id).cloned();
        let not_found = || AdminError::NotFound { kind: Kind::Decision, key: decision.to_owned() };
        let record = record.ok_or_else(not_found)?;
        let now = self.ask_again(&record);
        let now_reason = match &now {
            Some(now) => now.reason.clone(),
            None if record.deed == DeedModel::Login => self.login_now(&record),
            None => "only the beginning of what was asked is kept".to_owned(),
        };
        let refusal = RefusalView::from(&record);
        Ok(DecisionView {
            decision: EffectModel::Deny,
            operation: operation(record.deed),
            refusal: RefusalView { id: id.to_string(), ..refusal },
            now,
            now_reason,
        })
    }

    /// Writes what is not on disk yet.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn write_refusals(&self) -> Result<(), AdminError> {
        self.catch_up().await;
        let decisions = &self.shared.decisions;
        let _writing = decisions.writing.lock().await;
        loop {
            let rows = decisions.book.lock().take_unwritten(ROWS_PER_WRITE);
            if rows.is_empty() {
                return Ok(());
            }
            if let Err(error) = self.shared.store.write_refusals(&rows).await {
                decisions.book.lock().put_back(&rows);
                return Err(error.into());
            }
        }
    }

    /// Waits until all that was handed over before is in the book.
    async fn catch_up(&self) {
        let (reply, done) = oneshot::channel();
        if self.shared.decisions.sink.queue.send(Handed::Mark(reply)).await.is_ok() {
            // Whoever takes from the queue has ended: then nothing more comes.
            done.await.unwrap_or_default();
        }
    }

    /// The same question, asked now. `None` if it cannot be asked.
    fn ask_again(&self, record: &Record) -> Option<ExplainView> {
        let resource = record.resource.as_deref().filter(|_| !record.is_cut)?;
        let policy = self.shared.policy.load();
        let user = match record.user_id {
            Some(id) => policy.user(access::UserId(id)),
            None => policy.user_by_name(&record.user),
        };
        let client_id = record.client_id.as_deref().unwrap_or_default();
        let rights = user.and_then(|user| policy.rights(user.id(), client_id));
        let explanation = match &rights {
            Some(rights) => judge(rights, record.deed, resource)?,
            None => denied(resource, Denial::Gone),
        };
        Some(shown(&record.user, operation(record.deed)?, resource, &explanation))
    }

    /// What can be said of a login without a secret to compare.
    fn login_now(&self, record: &Record) -> String {
        let account = self.shared.directory.read().user_named(&record.user).map(Arc::clone);
        let Some(account) = account else { return "there is no such user now".to_owned() };
        let user = account.user();
        if !user.enabled {
            return "the user is disabled now".to_owned();
        }
        let address = record.address.parse().map(PeerAddress::Network);
        let source = address.unwrap_or(PeerAddress::Local).source();
        match self.shared.protection.gate(&record.user, source, self.now_ms()) {
            Gate::Locked { what: Locked::User, .. } => {
                return "the user is locked now: too many failed logins".to_owned();
            }
            Gate::Locked { what: Locked::Source, .. } => {
                return "the source is locked now: too many failed logins".to_owned();
            }
            Gate::Open => {}
        }
        let ways: Vec<_> = user.grants.iter().map(|grant| grant.method.to_string()).collect();
        let ways = ways.join(" or ");
        format!("the user may log in by {ways} now; what is given is compared at the next login")
    }
}

fn judge(rights: &Rights, deed: DeedModel, resource: &str) -> Option<access::Explanation> {
    let invalid = |error| denied(resource, Denial::InvalidTopic(error));
    Some(match deed {
        DeedModel::Login => return None,
        DeedModel::Publish | DeedModel::Will => rights.explain(Request::Publish(resource)),
        DeedModel::Subscribe | DeedModel::Subscription => {
            match SubscriptionFilter::parse(resource) {
                Ok(filter) => rights.explain(Request::Subscribe(&filter)),
                Err(error) => invalid(error),
            }
        }
        DeedModel::Delivery => match TopicName::parse(resource) {
            Ok(topic) => rights.explain(Request::Deliver(&topic)),
            Err(error) => invalid(error),
        },
    })
}

fn operation(deed: DeedModel) -> Option<OperationModel> {
    match deed {
        DeedModel::Login => None,
        DeedModel::Publish | DeedModel::Will => Some(OperationModel::Write),
        DeedModel::Subscribe | DeedModel::Subscription | DeedModel::Delivery => {
            Some(OperationModel::Read)
        }
    }
}

/// Batches of shards that wait to be put into the book. Full: the next is lost, and counted.
const BATCHES_MAX: usize = 256;
/// Records written in one transaction: a change of users waits for no more.
const ROWS_PER_WRITE: usize = 512;
/// Bytes of a user name or client id that nobody has proven.
const NAME_BYTES_MAX: usize = 256;
