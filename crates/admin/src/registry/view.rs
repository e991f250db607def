//! Requests as an administrator sees them.

use store::{RegistryOrigin, RegistryPassword, RegistryRecord, RegistryState};
use uuid::Uuid;

use super::Registry;
use super::register::Wishes;
use crate::admin::Admin;
use crate::caller::Caller;
use crate::directory::Directory;
use crate::error::{AdminError, Kind};
use crate::model::{
    Page, PageRequest, RegistryFilter, RegistryOriginModel, RegistryPasswordModel,
    RegistryRequestView, RegistryStatus, Time,
};
use crate::view;

impl Admin {
    /// Shows requests that have not ended, the oldest first.
    ///
    /// # Errors
    /// If the page is none.
    pub fn list_registry_requests(
        &self,
        _: &Caller,
        filter: RegistryFilter,
        page: PageRequest,
    ) -> Result<Page<RegistryRequestView>, AdminError> {
        let (registry, now_ms) = (&self.shared.registry, self.now_ms());
        let directory = self.shared.directory.read();
        let is_wanted = |record: &RegistryRecord| {
            !registry.is_over(record, now_ms)
                && filter.status.is_none_or(|wanted| status(&record.state) == wanted)
        };
        let rows: Vec<_> = directory.registry.all().filter(|record| is_wanted(record)).collect();
        view::page(rows.into_iter(), page, |record| Some(request(registry, &directory, record)))
    }

    /// Shows a request that has not ended.
    ///
    /// # Errors
    /// If there is none with this id.
    pub fn show_registry_request(
        &self,
        _: &Caller,
        id: Uuid,
    ) -> Result<RegistryRequestView, AdminError> {
        let registry = &self.shared.registry;
        let directory = self.shared.directory.read();
        let record = found(registry, &directory, id, self.now_ms())?;
        Ok(request(registry, &directory, record))
    }
}

/// The request with this id.
pub(super) fn found<'d>(
    registry: &Registry,
    directory: &'d Directory,
    id: Uuid,
    now_ms: u64,
) -> Result<&'d RegistryRecord, AdminError> {
    let record = directory.registry.get(id).filter(|record| !registry.is_over(record, now_ms));
    let not_found = || AdminError::NotFound { kind: Kind::RegistryRequest, key: id.to_string() };
    record.map(|record| &**record).ok_or_else(not_found)
}

pub(super) fn request(
    registry: &Registry,
    directory: &Directory,
    record: &RegistryRecord,
) -> RegistryRequestView {
    // It was written by this program; what cannot be read is no wish.
    let wishes = serde_json::from_str::<Wishes>(&record.wishes).unwrap_or_default();
    let seen = registry.seen(record.id);
    let username = record.username.as_str();
    let (decided_at, user_id) = match &record.state {
        RegistryState::Pending => (None, None),
        RegistryState::Granted { at_ms, user, .. } => (Some(Time(*at_ms)), Some(user.0)),
        RegistryState::Denied { at_ms } => (Some(Time(*at_ms)), None),
    };
    RegistryRequestView {
        id: record.id,
        username: username.to_owned(),
        status: status(&record.state),
        user_exists: user_id.is_none() && directory.user_named(username).is_some(),
        origin: origin(record.origin),
        password: password(&record.password),
        has_csr: record.csr.is_some(),
        roles: wishes.roles,
        permissions: wishes.permissions,
        context: wishes.context,
        client_id: record.client_id.as_deref().map(str::to_owned),
        address: record.address.to_string(),
        listener: record.listener.to_string(),
        created_at: Time(record.created_at_ms),
        expires_at: Time(registry.ends_at_ms(record)),
        decided_at,
        user_id,
        attempts: seen.attempts,
        other_passwords: seen.other_passwords,
        last_address: seen.last.and_then(|(_, address)| address),
        last_seen_at: seen.last.map(|(at_ms, _)| Time(at_ms)),
    }
}

pub(super) fn status(state: &RegistryState) -> RegistryStatus {
    match state {
        RegistryState::Pending => RegistryStatus::Pending,
        RegistryState::Granted { .. } => RegistryStatus::Granted,
        RegistryState::Denied { .. } => RegistryStatus::Denied,
    }
}

pub(super) fn origin(origin: RegistryOrigin) -> RegistryOriginModel {
    match origin {
        RegistryOrigin::Mqtt => RegistryOriginModel::Mqtt,
        RegistryOrigin::MqttCertificate => RegistryOriginModel::MqttCertificate,
        RegistryOrigin::Rest => RegistryOriginModel::Rest,
    }
}

pub(super) fn password(password: &RegistryPassword) -> RegistryPasswordModel {
    match password {
        RegistryPassword::Absent => RegistryPasswordModel::Absent,
        RegistryPassword::Unfit => RegistryPasswordModel::Unfit,
        RegistryPassword::Kept(_) => RegistryPasswordModel::Kept,
    }
}
