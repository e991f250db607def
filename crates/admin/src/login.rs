//! Logging in: the one place that turns a secret or a certificate into the proof of who is speaking.
//!
//! What a peer must not learn from a refusal, by its code or by its time: whether the user exists, is disabled, has a
//! password, may use one. So every attempt with a user name and a password goes the same way: its fingerprint is looked
//! up, then it waits for one hash of the present cost, be it of the user's password or of nobody's. What the peer knows
//! itself, such as having sent no password, is refused at once.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use access::{AuthMethod, Authenticated, Proof, ProvenMethods};
use store::PasswordSlot;
use uuid::Uuid;

use crate::admin::Admin;
use crate::attempt::{LoginAttempt, PeerAddress, ProvenCertificate, Way, way, way_by_name};
use crate::directory::Account;
use crate::flight::{Answer, Flight, Proven, Verdict};
use crate::hash::{Hasher, ParsedHash};
use crate::pool::Source;
use crate::proof::{Attempt, Tag};
use crate::protection::{DELAY_MAX, Gate, Locked, Protection};
use crate::refusal::{LoginRefused, RefusalKind};
use crate::registry::{Attempted, ClientLabel, Stranger};
use crate::secret::Secret;

impl Admin {
    /// Logs in, or says why not. The proof is good for the policy of this moment: whoever uses it later asks
    /// [`access::Policy::standing`].
    ///
    /// # Errors
    /// [`LoginRefused`], whose variant decides the code for the peer and whose reason is for the log.
    pub async fn login(&self, attempt: LoginAttempt<'_>) -> Result<Authenticated, LoginRefused> {
        self.login_as(attempt, None).await
    }

    /// The same for an MQTT client. While the client registry is unlocked, one that is refused for its unknown name is
    /// recorded, and cannot see that.
    ///
    /// # Errors
    /// As [`Admin::login`].
    pub async fn login_client(
        &self,
        attempt: LoginAttempt<'_>,
        client: ClientLabel<'_>,
    ) -> Result<Authenticated, LoginRefused> {
        self.login_as(attempt, Some(client)).await
    }

    async fn login_as(
        &self,
        attempt: LoginAttempt<'_>,
        client: Option<ClientLabel<'_>>,
    ) -> Result<Authenticated, LoginRefused> {
        let settings = &self.shared.settings;
        let refused = |kind| LoginRefused::new(kind, attempt.username);
        let way = match way(settings.authentication, &attempt, settings.password_bytes_max) {
            Ok(way) => way,
            Err(kind) => {
                if let Some(username) = attempt.username {
                    self.record_stranger(Attempted { username, client, peer: attempt.peer }, kind);
                }
                return Err(self.refuse_bad(refused(kind), attempt.peer).await);
            }
        };
        match way {
            Way::Anonymous => self.login_anonymous(),
            Way::Password { username, password } => {
                let attempted = Attempted { username, client, peer: attempt.peer };
                let proven = ProvenMethods::default();
                let (account, slot) = self.prove_password(attempted, password, proven).await?;
                self.prove(&account, AuthMethod::Password.into(), Some(slot), &attempt)
            }
            Way::Certificate(certificate) => {
                self.login_by_certificate(certificate, &attempt, client).await
            }
        }
    }

    /// Logs in by user name and password alone, whatever MQTT clients have to show, and says by which password.
    pub(crate) async fn login_by_password(
        &self,
        username: &str,
        password: &[u8],
        peer: PeerAddress,
    ) -> Result<(Authenticated, PasswordSlot), LoginRefused> {
        let attempt = LoginAttempt {
            username: Some(username),
            password: Some(password),
            certificate: None,
            peer,
        };
        let bytes_max = self.shared.settings.password_bytes_max;
        if let Err(kind) = way_by_name(&attempt, bytes_max) {
            let refused = LoginRefused::new(kind, attempt.username);
            return Err(self.refuse_bad(refused, peer).await);
        }
        let attempted = Attempted { username, client: None, peer };
        let (account, slot) =
            self.prove_password(attempted, password, ProvenMethods::default()).await?;
        let proven = AuthMethod::Password.into();
        Ok((self.prove(&account, proven, Some(slot), &attempt)?, slot))
    }

    /// Counts a login that was refused for what it looks like: against its source, since it names nobody for certain.
    async fn refuse_bad(&self, refused: LoginRefused, peer: PeerAddress) -> LoginRefused {
        let delay = self.shared.protection.failed(None, peer.source(), self.now_ms());
        self.hold_back(delay).await;
        refused
    }

    /// Waits before a refusal is told, if there is a place to wait.
    pub(crate) async fn hold_back(&self, delay: Duration) {
        if delay.is_zero() {
            return;
        }
        if let Ok(_place) = self.shared.held_back.try_acquire() {
            tokio::time::sleep(delay).await;
        }
    }

    async fn refuse_locked(&self, username: &str, gate: Gate, now_ms: u64) -> LoginRefused {
        self.hold_back(DELAY_MAX).await;
        let (kind, until_ms) = match gate {
            Gate::Locked { what: Locked::User, until_ms } => (RefusalKind::UserLocked, until_ms),
            Gate::Locked { what: Locked::Source, until_ms } => {
                (RefusalKind::SourceLocked, until_ms)
            }
            Gate::Open => (RefusalKind::Busy, now_ms),
        };
        LoginRefused::locked(kind, username, until_ms.saturating_sub(now_ms))
    }

    /// The configured user that stands for whoever gives neither name nor password.
    fn login_anonymous(&self) -> Result<Authenticated, LoginRefused> {
        let Some(name) = &self.shared.settings.anonymous_user else {
            return Err(LoginRefused::new(RefusalKind::NothingGiven, None));
        };
        let refused = |kind| LoginRefused::new(kind, Some(name.as_str()));
        let policy = self.shared.policy.load();
        let user = policy.user_by_name(name.as_str());
        let user = user.ok_or_else(|| refused(RefusalKind::UnknownUser))?;
        if user.grants().iter().any(|grant| grant.is_required) {
            return Err(refused(RefusalKind::ProofMissing));
        }
        let credential_epoch = user.credential_epoch();
        let proof = Proof { methods: AuthMethod::Password.into(), credential_epoch };
        Authenticated::prove(user, proof).map_err(|lapse| refused(RefusalKind::Lapsed(lapse)))
    }

    async fn login_by_certificate(
        &self,
        certificate: &ProvenCertificate,
        attempt: &LoginAttempt<'_>,
        client: Option<ClientLabel<'_>>,
    ) -> Result<Authenticated, LoginRefused> {
        let [name] = certificate.common_names.as_slice() else {
            return Err(LoginRefused::new(RefusalKind::NotOneCommonName, None));
        };
        let name = str::from_utf8(name)
            .map_err(|_| LoginRefused::new(RefusalKind::CertificateUserUnknown, None))?;
        let refused = |kind| LoginRefused::new(kind, Some(name));
        let account = self.shared.directory.read().user_named(name).map(Arc::clone);
        let attempted = Attempted { username: name, client, peer: attempt.peer };
        let Some(account) = account else {
            self.record_stranger(attempted, RefusalKind::CertificateUserUnknown);
            return Err(refused(RefusalKind::CertificateUserUnknown));
        };
        let user = account.user();
        if !user.enabled {
            return Err(refused(RefusalKind::CertificateUserDisabled));
        }
        if !user.grants.allows(AuthMethod::Certificate) {
            return Err(refused(RefusalKind::NoCertificateGrant));
        }
        self.certificate_standing(&certificate.fingerprint, user.id)
            .map_err(|lapse| refused(RefusalKind::CertificateLapsed(lapse)))?;
        let proven = ProvenMethods::from(AuthMethod::Certificate);
        if !user.grants.requires(AuthMethod::Password) {
            return self.prove(&account, proven, None, attempt);
        }
        let (Some(username), Some(password)) = (attempt.username, attempt.password) else {
            return Err(refused(RefusalKind::ProofMissing));
        };
        if username != name || password.len() > self.shared.settings.password_bytes_max {
            return Err(refused(RefusalKind::ProofMissing));
        }
        let (account, slot) = self.prove_password(attempted, password, proven).await?;
        self.prove(&account, proven.with(AuthMethod::Password), Some(slot), attempt)
    }

    /// Makes the proof against the present policy, in the epoch in which the secret was compared; `password` is the one
    /// that was proven.
    fn prove(
        &self,
        account: &Account,
        methods: ProvenMethods,
        password: Option<PasswordSlot>,
        attempt: &LoginAttempt<'_>,
    ) -> Result<Authenticated, LoginRefused> {
        let name = Some(account.user().name.as_str());
        let refused = |kind| match attempt.certificate {
            Some(_) if methods.contains(AuthMethod::Certificate) => {
                LoginRefused::new(RefusalKind::of_certificate(kind), name)
            }
            _ => LoginRefused::new(RefusalKind::Lapsed(kind), name),
        };
        let policy = self.shared.policy.load();
        let user = policy.user(account.user().id);
        let user = user.ok_or_else(|| refused(access::Lapse::UserRemoved))?;
        let credential_epoch = account.user().credential_epoch;
        let proof = Proof { methods, credential_epoch };
        let proven = match password {
            Some(PasswordSlot::Second) => match account.serial_of_second() {
                Some(serial) => Authenticated::prove_by_second(user, proof, serial),
                None => Err(access::Lapse::CredentialsChanged),
            },
            Some(PasswordSlot::First) | None => Authenticated::prove(user, proof),
        };
        proven.map_err(refused)
    }

    /// Proves a password, and gives the account whose it is, and which of its passwords it is. `proven` is what was proven
    /// besides.
    async fn prove_password(
        &self,
        attempted: Attempted<'_>,
        password: &[u8],
        proven: ProvenMethods,
    ) -> Result<(Arc<Account>, PasswordSlot), LoginRefused> {
        let (username, now_ms) = (attempted.username, self.now_ms());
        let methods = proven.with(AuthMethod::Password);
        let refused = |kind| LoginRefused::new(kind, Some(username));
        let (generation, account) = self.account_named(username);
        let judged = may_try(account.as_ref(), methods);
        let user = judged.as_ref().ok().map(|account| account.user());
        // The same work for a user that is not there.
        let (id, epoch) = user.map_or((Uuid::nil(), 0), |user| (user.id.0, user.credential_epoch));
        let tag = self.shared.proof_key.of_password(id, epoch, password);
        let source = attempted.peer.source();
        let gate = self.shared.protection.gate(username, source, now_ms);
        if let Ok(account) = &judged
            && let Some(slot) = account.credentials.proven(tag, now_ms)
            && (gate == Gate::Open || account.credentials.is_usual(source))
        {
            account.credentials.remember_source(source);
            self.note_use(account, slot);
            return Ok((Arc::clone(account), slot));
        }
        if gate != Gate::Open {
            if matches!(gate, Gate::Locked { what: Locked::User, .. }) && account.is_none() {
                self.record_locked_out(attempted, password, now_ms);
            }
            return Err(self.refuse_locked(username, gate, now_ms).await);
        }
        let attempt = Attempt { username, password, methods };
        let attempt_tag = self.shared.proof_key.of_attempt(generation, attempt);
        let wrong = judged.as_ref().err().copied().unwrap_or(RefusalKind::WrongPassword);
        let failed = || self.shared.protection.failed(Some(username), source, now_ms);
        // Not while clients are recorded, or one that was refused before would not be. For all names: a difference in time
        // would tell those that are recorded from those of users.
        let is_remembered =
            !self.shared.registry.is_unlocked(now_ms) && self.shared.refusals.holds(attempt_tag);
        if is_remembered {
            self.hold_back(failed()).await;
            return Err(refused(wrong));
        }
        let is_stranger = account.is_none();
        let candidates = (judged.ok(), password);
        let (answer, place) = self.compare(attempt_tag, attempted, candidates, is_stranger);
        match self.wait(answer).await.ok_or_else(|| refused(RefusalKind::Busy))? {
            Verdict::Refused(delay) => {
                self.shared.refusals.remember(attempt_tag);
                // Whoever only waited for the hash of another has failed as well.
                self.hold_back(if place == Place::First { delay } else { failed() }).await;
                Err(refused(wrong))
            }
            Verdict::Locked(gate) => Err(self.refuse_locked(username, gate, now_ms).await),
            Verdict::Proven(proven) => {
                let account =
                    self.welcome(username, password, methods, &proven).map_err(refused)?;
                account.credentials.remember_source(source);
                self.note_use(&account, proven.slot);
                Ok((account, proven.slot))
            }
        }
    }

    /// Looks again after the hash, which took its time: what was proven must still be what is asked for.
    fn welcome(
        &self,
        username: &str,
        password: &[u8],
        methods: ProvenMethods,
        proven: &Arc<Proven>,
    ) -> Result<Arc<Account>, RefusalKind> {
        let (_, account) = self.account_named(username);
        let account = Arc::clone(may_try(account.as_ref(), methods)?);
        // The second password can be replaced within an epoch.
        let is_another = proven.slot == PasswordSlot::Second
            && account.serial_of_second() != proven.second_password;
        if account.user().credential_epoch != proven.credential_epoch || is_another {
            return Err(RefusalKind::Lapsed(access::Lapse::CredentialsChanged));
        }
        let tag = self.shared.proof_key.of_password(
            account.user().id.0,
            proven.credential_epoch,
            password,
        );
        account.credentials.remember(proven.slot, tag);
        let renewed = proven.renewed.lock().take();
        if let Some(hash) = renewed {
            self.renew(&account, proven.slot, hash);
        }
        Ok(account)
    }

    /// The user, and the generation it was seen in.
    fn account_named(&self, username: &str) -> (u64, Option<Arc<Account>>) {
        let directory = self.shared.directory.read();
        let account = directory.user_named(username).map(Arc::clone);
        (self.shared.policy.load().generation(), account)
    }

    /// Has the password compared on the pool, with those of the account or, if there is none, with nobody's.
    fn compare(
        &self,
        tag: Tag,
        attempted: Attempted<'_>,
        (account, password): (Option<&Arc<Account>>, &[u8]),
        is_stranger: bool,
    ) -> (Answer, Place) {
        let (answer, flight) = self.shared.flights.join(tag);
        let Some(flight) = flight else { return (answer, Place::Behind) };
        let (source, now_ms) = (attempted.peer.source(), self.now_ms());
        let stranger = if is_stranger { self.stranger(attempted, now_ms) } else { None };
        let watch = Watch {
            protection: Arc::clone(&self.shared.protection),
            clock: self.shared.clock,
            username: attempted.username.into(),
            source,
        };
        let comparison = Comparison::new(self, (account, stranger), password, (watch, now_ms));
        let job = Box::new(move |hasher: &mut Hasher| comparison.run(hasher, flight));
        if let Err(full) = self.shared.pool.submit(source, job) {
            tracing::debug!(?full, "a login is refused");
        }
        (answer, Place::First)
    }

    /// `None` if the hash was not made in time, or will not be made.
    async fn wait(&self, mut answer: Answer) -> Option<Verdict> {
        let deadline = self.shared.settings.hash_pool.deadline;
        let landed = tokio::time::timeout(deadline, answer.wait_for(Option::is_some)).await;
        landed.ok()?.ok()?.clone()
    }
}

/// Whether a password could let the user in at all.
fn may_try(
    account: Option<&Arc<Account>>,
    methods: ProvenMethods,
) -> Result<&Arc<Account>, RefusalKind> {
    let account = account.ok_or(RefusalKind::UnknownUser)?;
    let user = account.user();
    if !user.enabled {
        return Err(RefusalKind::UserDisabled);
    }
    if !user.grants.allows(AuthMethod::Password) {
        return Err(RefusalKind::NoPasswordGrant);
    }
    if !user.grants.are_satisfied_by(methods) {
        return Err(RefusalKind::ProofMissing);
    }
    if account.credentials.is_empty() {
        return Err(RefusalKind::NoPassword);
    }
    Ok(account)
}

/// Who counts a failure: whoever has the password compared, on the hashing thread, so that the next one in the queue
/// finds the door shut; or whoever joined it, afterwards.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    First,
    Behind,
}

/// What a hashing thread needs to count a failure.
struct Watch {
    protection: Arc<Protection>,
    clock: fn() -> u64,
    username: Box<str>,
    source: Source,
}

/// What a hashing thread needs to judge a password.
struct Comparison {
    watch: Watch,
    stranger: Option<Stranger>,
    password: Secret,
    candidates: Vec<ParsedHash>,
    /// The slot of each candidate; none if they are nobody's.
    slots: Vec<PasswordSlot>,
    credential_epoch: u64,
    second_password: Option<NonZeroU32>,
    cost: crate::settings::HashCost,
}

impl Comparison {
    fn new(
        admin: &Admin,
        (account, mut stranger): (Option<&Arc<Account>>, Option<Stranger>),
        password: &[u8],
        (watch, now_ms): (Watch, u64),
    ) -> Comparison {
        let (mut candidates, mut slots) = (Vec::new(), Vec::new());
        for stored in account.into_iter().flat_map(|account| account.credentials.valid(now_ms)) {
            if let Ok(parsed) = ParsedHash::parse(&stored.hash) {
                candidates.push(parsed);
                slots.push(stored.slot);
            }
        }
        if let Some(candidate) = stranger.as_mut().and_then(Stranger::candidate) {
            // Whatever comes of it: it has no slot, and so proves nothing.
            candidates.push(candidate);
        }
        if candidates.is_empty() {
            candidates.extend(ParsedHash::parse(&admin.shared.dummy));
        }
        Comparison {
            watch,
            stranger,
            password: Secret::new(password.to_vec()),
            candidates,
            slots,
            credential_epoch: account.map_or(0, |account| account.user().credential_epoch),
            second_password: account.and_then(|account| account.serial_of_second()),
            cost: admin.shared.settings.hash_cost,
        }
    }

    fn run(self, hasher: &mut Hasher, flight: Flight) {
        if flight.is_abandoned() {
            return;
        }
        let Watch { protection, clock, username, source } = &self.watch;
        // A thousand guesses may have been let into the queue before the first was found wrong.
        let gate = protection.gate(username, *source, clock());
        if gate != Gate::Open {
            return flight.land(Verdict::Locked(gate));
        }
        let password = self.password.expose();
        // A stranger's hash to be kept takes the place, and the time, of the comparison with nobody's.
        let (found, made) = match &self.stranger {
            Some(Stranger::New(_)) => (None, hasher.make_once(password).ok()),
            Some(Stranger::Known { .. }) | None => {
                (hasher.verify(password, &self.candidates), None)
            }
        };
        let slot = found.and_then(|index| self.slots.get(index));
        let Some(slot) = slot else {
            let now_ms = clock();
            flight.land(Verdict::Refused(protection.failed(Some(username), *source, now_ms)));
            if let Some(stranger) = self.stranger {
                stranger.settle(&self.password, made, found.is_some(), now_ms);
            }
            return;
        };
        let is_weak = found.is_some_and(|index| self.is_to_be_renewed(index));
        let renewed = if is_weak { hasher.make(password).ok() } else { None };
        flight.land(Verdict::Proven(Arc::new(Proven {
            slot: *slot,
            credential_epoch: self.credential_epoch,
            second_password: self.second_password,
            renewed: parking_lot::Mutex::new(renewed),
        })));
    }

    /// Two passwords of one user share their salt where they can; renewing one of these alone would part them.
    fn is_to_be_renewed(&self, proven: usize) -> bool {
        let Some(hash) = self.candidates.get(proven) else { return false };
        let mut others = self.candidates.iter().enumerate().filter(|(index, _)| *index != proven);
        hash.is_weaker_than(self.cost) && !others.any(|(_, other)| other.is_computed_as(hash))
    }
}
