//! Logging in: the one place that turns a secret or a certificate into the proof of who is speaking.
//!
//! What a peer must not learn from a refusal, by its code or by its time: whether the user exists, is disabled, has a
//! password, may use one. So every attempt with a user name and a password goes the same way: its fingerprint is looked
//! up, then it waits for one hash of the present cost, be it of the user's password or of nobody's. What the peer knows
//! itself, such as having sent no password, is refused at once.

use std::sync::Arc;

use access::{AuthMethod, Authenticated, Proof, ProvenMethods};
use uuid::Uuid;

use crate::admin::Admin;
use crate::attempt::{LoginAttempt, ProvenCertificate, Way, way};
use crate::directory::Account;
use crate::flight::{Answer, Flight, Proven, Verdict};
use crate::hash::{Hasher, ParsedHash};
use crate::pool::Source;
use crate::proof::Tag;
use crate::refusal::{LoginRefused, RefusalKind};
use crate::secret::Secret;

impl Admin {
    /// Logs in, or says why not. The proof is good for the policy of this moment: whoever uses it later asks
    /// [`access::Policy::standing`].
    ///
    /// # Errors
    /// [`LoginRefused`], whose variant decides the code for the peer and whose reason is for the log.
    pub async fn login(&self, attempt: LoginAttempt<'_>) -> Result<Authenticated, LoginRefused> {
        let settings = &self.shared.settings;
        let refused = |kind| LoginRefused::new(kind, attempt.username);
        match way(settings.authentication, &attempt, settings.password_bytes_max)
            .map_err(refused)?
        {
            Way::Anonymous => self.login_anonymous(),
            Way::Password { username, password } => {
                let account = self
                    .prove_password(username, password, ProvenMethods::default(), &attempt)
                    .await?;
                self.prove(&account, AuthMethod::Password.into(), &attempt)
            }
            Way::Certificate(certificate) => self.login_by_certificate(certificate, &attempt).await,
        }
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
    ) -> Result<Authenticated, LoginRefused> {
        let [name] = certificate.common_names.as_slice() else {
            return Err(LoginRefused::new(RefusalKind::NotOneCommonName, None));
        };
        let name = str::from_utf8(name)
            .map_err(|_| LoginRefused::new(RefusalKind::CertificateUserUnknown, None))?;
        let refused = |kind| LoginRefused::new(kind, Some(name));
        let account = self.shared.directory.read().user_named(name).map(Arc::clone);
        let account = account.ok_or_else(|| refused(RefusalKind::CertificateUserUnknown))?;
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
            return self.prove(&account, proven, attempt);
        }
        let (Some(username), Some(password)) = (attempt.username, attempt.password) else {
            return Err(refused(RefusalKind::ProofMissing));
        };
        if username != name || password.len() > self.shared.settings.password_bytes_max {
            return Err(refused(RefusalKind::ProofMissing));
        }
        let account = self.prove_password(username, password, proven, attempt).await?;
        self.prove(&account, proven.with(AuthMethod::Password), attempt)
    }

    /// Makes the proof against the present policy, in the epoch in which the secret was compared.
    fn prove(
        &self,
        account: &Account,
        methods: ProvenMethods,
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
        Authenticated::prove(user, Proof { methods, credential_epoch }).map_err(refused)
    }

    /// Proves a password, and gives the account whose it is. `proven` is what was proven besides.
    async fn prove_password(
        &self,
        username: &str,
        password: &[u8],
        proven: ProvenMethods,
        attempt: &LoginAttempt<'_>,
    ) -> Result<Arc<Account>, LoginRefused> {
        let now_ms = self.now_ms();
        let methods = proven.with(AuthMethod::Password);
        let refused = |kind| LoginRefused::new(kind, Some(username));
        let (generation, account) = self.account_named(username);
        let judged = may_try(account.as_ref(), methods);
        let user = judged.as_ref().ok().map(|account| account.user());
        // The same work for a user that is not there.
        let (id, epoch) = user.map_or((Uuid::nil(), 0), |user| (user.id.0, user.credential_epoch));
        let tag = self.shared.proof_key.of_password(id, epoch, password);
        if let Ok(account) = &judged
            && account.credentials.is_proven(tag, now_ms)
        {
            return Ok(Arc::clone(account));
        }
        let attempt_tag = self.shared.proof_key.of_attempt(generation, username, password);
        let wrong = judged.as_ref().err().copied().unwrap_or(RefusalKind::WrongPassword);
        if self.shared.refusals.holds(attempt_tag) {
            return Err(refused(wrong));
        }
        let source = attempt.peer.source();
        let answer = self.compare(attempt_tag, source, judged.ok(), password, now_ms);
        match self.wait(answer).await.ok_or_else(|| refused(RefusalKind::Busy))? {
            Verdict::Refused => {
                self.shared.refusals.remember(attempt_tag);
                Err(refused(wrong))
            }
            Verdict::Proven(proven) => {
                self.welcome(username, password, methods, &proven).map_err(refused)
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
        if account.user().credential_epoch != proven.credential_epoch {
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
        source: Source,
        account: Option<&Arc<Account>>,
        password: &[u8],
        now_ms: u64,
    ) -> Answer {
        let (answer, flight) = self.shared.flights.join(tag);
        let Some(flight) = flight else { return answer };
        let comparison = Comparison::new(self, account, password, now_ms);
        let job = Box::new(move |hasher: &mut Hasher| comparison.run(hasher, flight));
        if let Err(full) = self.shared.pool.submit(source, job) {
            tracing::debug!(?full, "a login is refused");
        }
        answer
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
    if account.credentials.passwords.is_empty() {
        return Err(RefusalKind::NoPassword);
    }
    Ok(account)
}

/// What a hashing thread needs to judge a password.
struct Comparison {
    password: Secret,
    candidates: Vec<ParsedHash>,
    /// The slot of each candidate; none if they are nobody's.
    slots: Vec<store::PasswordSlot>,
    credential_epoch: u64,
    cost: crate::settings::HashCost,
}

impl Comparison {
    fn new(
        admin: &Admin,
        account: Option<&Arc<Account>>,
        password: &[u8],
        now_ms: u64,
    ) -> Comparison {
        let (mut candidates, mut slots) = (Vec::new(), Vec::new());
        for stored in account.into_iter().flat_map(|account| account.credentials.valid(now_ms)) {
            if let Ok(parsed) = ParsedHash::parse(&stored.hash) {
                candidates.push(parsed);
                slots.push(stored.slot);
            }
        }
        if candidates.is_empty() {
            candidates.extend(ParsedHash::parse(&admin.shared.dummy));
        }
        Comparison {
            password: Secret::new(password.to_vec()),
            candidates,
            slots,
            credential_epoch: account.map_or(0, |account| account.user().credential_epoch),
            cost: admin.shared.settings.hash_cost,
        }
    }

    fn run(&self, hasher: &mut Hasher, flight: Flight) {
        if flight.is_abandoned() {
            return;
        }
        let password = self.password.expose();
        let found = hasher.verify(password, &self.candidates);
        let slot = found.and_then(|index| self.slots.get(index));
        let Some(slot) = slot else { return flight.land(Verdict::Refused) };
        // Two passwords share their salt; renewing one alone would part them.
        let is_weak = match self.candidates.as_slice() {
            [only] => only.is_weaker_than(self.cost),
            _ => false,
        };
        let renewed = if is_weak { hasher.make(password).ok() } else { None };
        flight.land(Verdict::Proven(Arc::new(Proven {
            slot: *slot,
            credential_epoch: self.credential_epoch,
            renewed: parking_lot::Mutex::new(renewed),
        })));
    }
}
