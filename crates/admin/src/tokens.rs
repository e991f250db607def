//! Bearer tokens of the HTTP API: made by a password, and gone with it.
//!
//! Invariants: a token is 256 random bits, of which nobody but its holder keeps more than a hash; it is good for as long
//! as its user is there, enabled, may use a password and has not changed it; what it permits is what its user may do at
//! the moment of the request.

use std::sync::Arc;

use access::{AuthMethod, Authenticated, Denial, Operation, User, UserId};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use store::{Change, PasswordRecord, PasswordSlot, TokenChange, TokenRecord};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::admin::Admin;
use crate::attempt::PeerAddress;
use crate::caller::{Caller, UserCaller};
use crate::credentials::Password;
use crate::directory::Directory;
use crate::error::{AdminError, Kind};
use crate::hash::{random, sha256};
use crate::model::{LoginView, NewLogin, Page, PageRequest, Time, TokenView, WhoView};
use crate::permissions::new_uuid;
use crate::refusal::LoginRefused;
use crate::token_book::Token;
use crate::users;
use crate::view;

/// Why a login over HTTP was refused.
#[derive(Debug, thiserror::Error)]
pub enum TokenRefused {
    /// The user has not proven who it is.
    #[error(transparent)]
    Login(#[from] LoginRefused),
    /// It has, but the rest of the request is not right.
    #[error(transparent)]
    Admin(#[from] AdminError),
}

impl Admin {
    /// Logs in by user name and password, however MQTT clients have to, and makes a token. It is on disk when this
    /// returns.
    ///
    /// # Errors
    /// If the password proves nothing, the user has no HTTP permission at all, or the token would be out of bounds.
    pub async fn make_token(
        &self,
        new: NewLogin,
        peer: PeerAddress,
    ) -> Result<LoginView, TokenRefused> {
        let lifetime_ms = self.lifetime_ms(new.expire_time_in_hours)?;
        let label = checked_label(new.label.unwrap_or_default())?;
        let (authenticated, password) =
            self.login_by_password(&new.username, new.password.expose(), peer).await?;
        let user = authenticated.user_id();
        let rights = self.shared.policy.load().rights(user, "");
        if !rights.is_some_and(|rights| rights.has_http_permission()) {
            let reason = "your user has no permission of the context `http`";
            return Err(AdminError::Forbidden(reason.to_owned()).into());
        }
        let text = Zeroizing::new(format!(
            "{PREFIX}{}",
            URL_SAFE_NO_PAD.encode(Zeroizing::new(random::<32>().map_err(AdminError::from)?))
        ));
        let now_ms = self.now_ms();
        let mut record = TokenRecord {
            id: new_uuid()?,
            user,
            hash: hash(&text),
            label: label.into(),
            password,
            credential_epoch: authenticated.credential_epoch(),
            created_at_ms: now_ms,
            expires_at_ms: now_ms.saturating_add(lifetime_ms),
            last_used_at_ms: None,
        };
        let count_max = self.shared.settings.tokens.per_user_max;
        let plan = move |directory: &Directory| {
            must_stand(directory, &authenticated)?;
            record.expires_at_ms = ends_with_password(directory, &record, now_ms)?;
            let expires_at_ms = record.expires_at_ms;
            let mut changes = surplus(directory, user, count_max, now_ms);
            changes.push(Change::Token(TokenChange::Put(record)));
            Ok((changes, expires_at_ms))
        };
        let expires_at_ms = self.change(&Caller::Broker, plan, |_, ends_ms| ends_ms).await?;
        Ok(LoginView { token: text.to_string(), expires_at: Time(expires_at_ms) })
    }

    /// The user that shows this token; none if it is not good.
    #[must_use]
    pub fn authenticate(&self, token: &str, peer: PeerAddress) -> Option<Caller> {
        // Whatever a peer sends, one short hash is all it costs.
        if token.len() != PREFIX.len() + ENCODED_BYTES || !token.starts_with(PREFIX) {
            return None;
        }
        let hash = hash(token);
        let now_ms = self.now_ms();
        let (token, name) = {
            let directory = self.shared.directory.read();
            let token = Arc::clone(directory.tokens.with_hash(&hash)?);
            let user = directory.user(token.record.user)?.user();
            if token.has_ended(now_ms) || !is_good_for(&token.record, user) {
                return None;
            }
            (token, user.name.clone())
        };
        if token.touch(now_ms) {
            self.write_touch(token.record.id, now_ms);
        }
        let TokenRecord { id, user, .. } = token.record;
        Some(Caller::User(UserCaller { id: user, name, token: id, peer }))
    }

    /// Whether the caller may do this to what is at a path of the API, as it was sent.
    ///
    /// # Errors
    /// Why not.
    pub fn permit_http(
        &self,
        caller: &Caller,
        operation: Operation,
        path: &str,
    ) -> Result<(), Denial> {
        let user = match caller {
            Caller::LocalOwner | Caller::Broker => return Ok(()),
            Caller::User(user) => user,
        };
        let rights = self.shared.policy.load().rights(user.id, "").ok_or(Denial::Gone)?;
        rights.permit_http(operation, path).map(|_| ())
    }

    /// Who asks.
    ///
    /// # Errors
    /// If the token has gone meanwhile.
    pub fn who(&self, caller: &Caller) -> Result<WhoView, AdminError> {
        let Some(user) = caller.user() else {
            return Ok(WhoView { user_id: None, username: None, token: None });
        };
        Ok(WhoView {
            user_id: Some(user.id.0),
            username: Some(user.name.as_str().to_owned()),
            token: Some(self.show_token(caller, &user.id.0.to_string(), user.token)?),
        })
    }

    /// Ends the token that the caller has shown.
    ///
    /// # Errors
    /// If it cannot be removed from the store.
    pub async fn log_out(&self, caller: &Caller) -> Result<(), AdminError> {
        let Some(user) = caller.user() else { return Ok(()) };
        let id = user.token;
        let plan = move |_: &Directory| Ok((vec![Change::Token(TokenChange::Remove(id))], ()));
        self.change(caller, plan, |_, ()| ()).await
    }

    /// Shows a user's tokens that have not ended, the oldest first.
    ///
    /// # Errors
    /// If there is no such user or the page is none.
    pub fn list_tokens(
        &self,
        _: &Caller,
        key: &str,
        page: PageRequest,
    ) -> Result<Page<TokenView>, AdminError> {
        let now_ms = self.now_ms();
        let directory = self.shared.directory.read();
        let user = users::found(&directory, key)?.user();
        let tokens: Vec<_> =
            directory.tokens.of(user.id).filter(|it| !it.has_ended(now_ms)).collect();
        view::page(tokens.into_iter(), page, |token| Some(shown(token)))
    }

    /// Shows one of a user's tokens.
    ///
    /// # Errors
    /// If there is no such user or token.
    pub fn show_token(&self, _: &Caller, key: &str, id: Uuid) -> Result<TokenView, AdminError> {
        let directory = self.shared.directory.read();
        let user = users::found(&directory, key)?.user().id;
        found(&directory, user, id, self.now_ms()).map(|token| shown(token))
    }

    /// Ends one of a user's tokens.
    ///
    /// # Errors
    /// If there is no such user or token.
    pub async fn remove_token(
        &self,
        caller: &Caller,
        key: &str,
        id: Uuid,
    ) -> Result<(), AdminError> {
        let (key, now_ms) = (key.to_owned(), self.now_ms());
        let plan = move |directory: &Directory| {
            let user = users::found(directory, &key)?.user().id;
            found(directory, user, id, now_ms)?;
            Ok((vec![Change::Token(TokenChange::Remove(id))], ()))
        };
        self.change(caller, plan, |_, ()| ()).await
    }

    /// Ends all of a user's tokens.
    ///
    /// # Errors
    /// If there is no such user.
    pub async fn remove_tokens(&self, caller: &Caller, key: &str) -> Result<(), AdminError> {
        let key = key.to_owned();
        let plan = move |directory: &Directory| {
            let user = users::found(directory, &key)?.user().id;
            Ok((vec![Change::Token(TokenChange::RemoveOf(user))], ()))
        };
        self.change(caller, plan, |_, ()| ()).await
    }

    /// Removes the tokens that have ended.
    pub(crate) async fn remove_ended_tokens(&self) -> Result<(), AdminError> {
        let now_ms = self.now_ms();
        let plan = move |directory: &Directory| {
            let ended = directory.tokens.all().filter(|token| token.has_ended(now_ms));
            Ok((ended.map(|token| removal(token)).collect(), ()))
        };
        self.change(&Caller::Broker, plan, |_, ()| ()).await
    }

    fn lifetime_ms(&self, hours: Option<u32>) -> Result<u64, AdminError> {
        let settings = &self.shared.settings.tokens;
        let hours = hours.unwrap_or(settings.hours_default.min(settings.hours_max));
        if hours == 0 || hours > settings.hours_max {
            let reason = format!("must be 1 to {}", settings.hours_max);
            return Err(AdminError::invalid("expireTimeInHours", reason));
        }
        Ok(u64::from(hours) * HOUR_MS)
    }

    fn write_touch(&self, id: Uuid, now_ms: u64) {
        let admin = self.clone();
        tokio::spawn(async move {
            let plan = move |directory: &Directory| {
                let touch = Change::Token(TokenChange::Touch(id, now_ms));
                Ok((directory.tokens.get(id).map(|_| touch).into_iter().collect(), ()))
            };
            if let Err(error) = admin.change(&Caller::Broker, plan, |_, ()| ()).await {
                tracing::warn!(%error, "the last use of a token could not be written down");
            }
        });
    }
}

/// What else must change with these changes: tokens end with what they were made by.
pub(crate) fn ended_by(directory: &Directory, changes: &[Change]) -> Vec<Change> {
    let mut ended = Vec::new();
    for change in changes {
        if let Change::PutUser(record) = change
            && directory.tokens.of(record.user.id).any(|it| !is_good_for(&it.record, &record.user))
        {
            ended.push(Change::Token(TokenChange::RemoveOf(record.user.id)));
        }
        if let Change::PutPasswords(user, passwords) = change {
            ended.extend(ended_with_second(directory, *user, passwords));
        }
    }
    ended
}

/// Tokens that the second password has made end with it, which may now be earlier than it was.
fn ended_with_second(
    directory: &Directory,
    user: UserId,
    passwords: &[PasswordRecord],
) -> Vec<Change> {
    let by_second = directory.tokens.of(user).map(|token| &**token);
    let mut by_second =
        by_second.filter(|it| it.record.password == PasswordSlot::Second).peekable();
    if by_second.peek().is_none() {
        return Vec::new();
    }
    match kept_second_ends_ms(directory, user, passwords) {
        Some(ends_ms) => {
            by_second.filter(|it| it.record.expires_at_ms > ends_ms).map(removal).collect()
        }
        None => vec![Change::Token(TokenChange::RemoveOfSecond(user))],
    }
}

/// When the second password ends after these changes, if it stays the one it is.
fn kept_second_ends_ms(
    directory: &Directory,
    user: UserId,
    passwords: &[PasswordRecord],
) -> Option<u64> {
    let second = directory.user(user)?.credentials.password(PasswordSlot::Second)?;
    let after = passwords.iter().find(|password| password.slot == PasswordSlot::Second)?;
    let after = Password::new(after.clone());
    second.is_same_as(&after).then(|| after.ends_at_ms())
}

/// A token is good no longer than the password that has made it.
fn ends_with_password(
    directory: &Directory,
    token: &TokenRecord,
    now_ms: u64,
) -> Result<u64, AdminError> {
    let account = directory.user(token.user);
    let mut valid = account.into_iter().flat_map(|account| account.credentials.valid(now_ms));
    let Some(password) = valid.find(|password| password.slot == token.password) else {
        return Err(AdminError::Forbidden("your password has ended".to_owned()));
    };
    Ok(password.ends_at_ms().min(token.expires_at_ms))
}

fn is_good_for(token: &TokenRecord, user: &User) -> bool {
    user.enabled
        && user.credential_epoch == token.credential_epoch
        && user.grants.are_satisfied_by(AuthMethod::Password.into())
}

/// The password may have been changed while the token was made.
fn must_stand(directory: &Directory, authenticated: &Authenticated) -> Result<(), AdminError> {
    let account = directory.user(authenticated.user_id());
    let stands = account.is_some_and(|it| authenticated.holds_for(&it.compiled).is_ok());
    if stands { Ok(()) } else { Err(AdminError::Forbidden("your user was changed".to_owned())) }
}

/// What must go to make room for one more: those that have ended, and the oldest of too many.
fn surplus(directory: &Directory, user: UserId, count_max: usize, now_ms: u64) -> Vec<Change> {
    let (ended, good): (Vec<_>, Vec<_>) =
        directory.tokens.of(user).partition(|token| token.has_ended(now_ms));
    let too_many = (good.len() + 1).saturating_sub(count_max.max(1));
    let removed = ended.into_iter().chain(good.into_iter().take(too_many));
    removed.map(|token| removal(token)).collect()
}

fn removal(token: &Token) -> Change {
    Change::Token(TokenChange::Remove(token.record.id))
}

fn found(
    directory: &Directory,
    user: UserId,
    id: Uuid,
    now_ms: u64,
) -> Result<&Arc<Token>, AdminError> {
    let token = directory.tokens.get(id);
    token
        .filter(|token| token.record.user == user && !token.has_ended(now_ms))
        .ok_or_else(|| AdminError::NotFound { kind: Kind::Token, key: id.to_string() })
}

fn shown(token: &Token) -> TokenView {
    let record = &token.record;
    TokenView {
        id: record.id,
        label: record.label.to_string(),
        created_at: Time(record.created_at_ms),
        expires_at: Time(record.expires_at_ms),
        last_used_at: token.last_used_at_ms().map(Time),
    }
}

pub(crate) fn shown_of(directory: &Directory, user: UserId) -> Vec<TokenView> {
    directory.tokens.of(user).map(|token| shown(token)).collect()
}

fn checked_label(label: String) -> Result<String, AdminError> {
    if label.chars().count() > LABEL_CHARACTERS_MAX || label.chars().any(char::is_control) {
        let reason =
            format!("may have {LABEL_CHARACTERS_MAX} characters, and no control character");
        return Err(AdminError::invalid("label", reason));
    }
    Ok(label)
}

fn hash(token: &str) -> [u8; 32] {
    sha256(token.as_bytes())
}

/// What every token begins with, so that one that leaks is found by scanners.
const PREFIX: &str = "cstok_";
/// 32 bytes in Base64 without padding.
const ENCODED_BYTES: usize = 43;
const LABEL_CHARACTERS_MAX: usize = 200;
const HOUR_MS: u64 = 3_600_000;
