//! From what is kept to what is shown.

use access::{AuthMethod, Because, Context, Decision, Effect, Grant, Operation, Owner, Permission};
use store::{
    CertificateOrigin, CertificateRecord, PasswordRecord, PasswordSlot, RevokedReason, RoleRecord,
};

use crate::budget_model;
use crate::directory::{Account, Directory};
use crate::error::AdminError;
use crate::model::{
    CertificateOriginModel, CertificateStatus, CertificateView, ContextModel, EffectModel,
    ExplainRule, GrantMethod, GrantTypeModel, IdentityProvider, OperationModel, OwnerType, Page,
    PageRequest, PasswordSlotModel, PasswordView, PermissionView, ROWS_PER_PAGE_MAX,
    RevocationReasonModel, RoleView, Time, UserCertificateView, UserView,
};
use crate::tokens;

pub(crate) fn user(directory: &Directory, account: &Account) -> UserView {
    let (user, stamp) = (account.user(), account.stamp);
    UserView {
        id: user.id.0,
        username: user.name.as_str().to_owned(),
        identity_provider: IdentityProvider::Local,
        grant_types: user.grants.iter().map(GrantTypeModel::from).collect(),
        mqtt_publish_prefix: user.publish_prefix.as_ref().map(|prefix| prefix.as_str().to_owned()),
        roles: user.roles.iter().map(|role| role.0).collect(),
        permissions: user.permissions.iter().map(permission).collect(),
        publish_budget: budget_model::shown(user.publish_budget),
        enabled: user.enabled,
        passwords: account.credentials.records().iter().map(password).collect(),
        certificates: directory.certificates.of(user.id).map(|it| user_certificate(it)).collect(),
        tokens: tokens::shown_of(directory, user.id),
        created_at: Time(stamp.created_at_ms),
        updated_at: Time(stamp.updated_at_ms),
        version: stamp.version,
    }
}

pub(crate) fn role(record: &RoleRecord) -> RoleView {
    let (role, stamp) = (&record.role, record.stamp);
    RoleView {
        id: role.id.0,
        name: role.name.as_str().to_owned(),
        permissions: role.permissions.iter().map(permission).collect(),
        publish_budget: budget_model::shown(role.publish_budget),
        built_in: record.built_in,
        created_at: Time(stamp.created_at_ms),
        updated_at: Time(stamp.updated_at_ms),
        version: stamp.version,
    }
}

fn user_certificate(record: &CertificateRecord) -> UserCertificateView {
    UserCertificateView {
        fingerprint: record.fingerprint.iter().map(|byte| format!("{byte:02x}")).collect(),
        serial: record.serial.to_string(),
        created_at: Time(record.created_at_ms),
        expires_at: Time(record.not_after_ms),
        revoked_at: record.revoked.map(|revoked| Time(revoked.at_ms)),
    }
}

pub(crate) fn certificate(record: &CertificateRecord, now_ms: u64) -> CertificateView {
    let UserCertificateView { fingerprint, serial, created_at, expires_at, revoked_at } =
        user_certificate(record);
    CertificateView {
        fingerprint,
        serial,
        user_id: record.user.0,
        username: record.user_name.as_str().to_owned(),
        origin: record.origin.into(),
        status: status(record, now_ms),
        expires_soon: ends_within(record, EXPIRES_SOON_DAYS, now_ms),
        created_at,
        not_before: Time(record.not_before_ms),
        expires_at,
        revoked_at,
        revocation_reason: record.revoked.map(|revoked| revoked.reason.into()),
    }
}

fn status(record: &CertificateRecord, now_ms: u64) -> CertificateStatus {
    if record.revoked.is_some() {
        CertificateStatus::Revoked
    } else if now_ms < record.not_before_ms {
        CertificateStatus::NotYetValid
    } else if is_over(record, now_ms) {
        CertificateStatus::Expired
    } else {
        CertificateStatus::Valid
    }
}

/// Whether a certificate is good, but ends within so many days.
pub(crate) fn ends_within(record: &CertificateRecord, days: u64, now_ms: u64) -> bool {
    let by_ms = now_ms.saturating_add(days.saturating_mul(DAY_MS));
    status(record, now_ms) == CertificateStatus::Valid && record.not_after_ms <= by_ms
}

/// The last second of the validity belongs to it (RFC 5280, 4.1.2.5).
fn is_over(record: &CertificateRecord, now_ms: u64) -> bool {
    now_ms >= record.not_after_ms.saturating_add(1000)
}

/// A certificate that ends within so many days is to be seen.
pub(crate) const EXPIRES_SOON_DAYS: u64 = 30;
const DAY_MS: u64 = 86_400_000;

fn password(record: &PasswordRecord) -> PasswordView {
    PasswordView {
        slot: match record.slot {
            PasswordSlot::First => PasswordSlotModel::First,
            PasswordSlot::Second => PasswordSlotModel::Second,
        },
        created_at: Time(record.created_at_ms),
        expires_at: record.expires_at_ms.map(Time),
        last_used_at: record.last_used_at_ms.map(Time),
    }
}

fn permission(permission: &Permission) -> PermissionView {
    PermissionView {
        id: permission.id.0,
        resource: permission.resource.as_str().to_owned(),
        operation: permission.operation.into(),
        context: permission.context.into(),
        effect: permission.effect.into(),
    }
}

pub(crate) fn rule(because: &Because) -> ExplainRule {
    let (owner_type, owner) = match &because.owner {
        Owner::User(name) => (OwnerType::User, name.as_str()),
        Owner::Role(name) => (OwnerType::Role, name.as_str()),
    };
    ExplainRule {
        owner_type,
        owner: owner.to_owned(),
        resource: because.resource.as_str().to_owned(),
        operation: because.operation.into(),
        effect: because.effect.into(),
    }
}

/// How many rows come before a page.
pub(crate) fn skipped(request: PageRequest) -> Result<u64, AdminError> {
    let PageRequest { page_number, rows_per_page } = request;
    let Some(pages) = page_number.checked_sub(1) else {
        return Err(AdminError::invalid("pageNumber", "counts from 1"));
    };
    if rows_per_page == 0 || rows_per_page > ROWS_PER_PAGE_MAX {
        let reason = format!("must be 1 to {ROWS_PER_PAGE_MAX}");
        return Err(AdminError::invalid("rowsPerPage", reason));
    }
    Ok(u64::from(pages).saturating_mul(u64::from(rows_per_page)))
}

/// The rows of one page, of all in their order.
pub(crate) fn page<R, T>(
    rows: impl ExactSizeIterator<Item = R>,
    request: PageRequest,
    show: impl FnMut(R) -> Option<T>,
) -> Result<Page<T>, AdminError> {
    let skipped = skipped(request)?;
    let PageRequest { page_number, rows_per_page } = request;
    let total = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let before = usize::try_from(skipped).unwrap_or(usize::MAX);
    let size = usize::try_from(rows_per_page).unwrap_or(usize::MAX);
    let items = rows.skip(before).take(size).filter_map(show).collect();
    Ok(Page { items, total, page_number, rows_per_page })
}

impl From<Grant> for GrantTypeModel {
    fn from(grant: Grant) -> Self {
        GrantTypeModel { method: grant.method.into(), is_required: grant.is_required }
    }
}

impl From<GrantTypeModel> for Grant {
    fn from(model: GrantTypeModel) -> Self {
        Grant { method: model.method.into(), is_required: model.is_required }
    }
}

/// The same words on both sides, each way by an exhaustive match.
macro_rules! same_words {
    ($inner:ident, $model:ident, $($word:ident),+) => {
        impl From<$inner> for $model {
            fn from(word: $inner) -> Self {
                match word {
                    $($inner::$word => $model::$word),+
                }
            }
        }

        impl From<$model> for $inner {
            fn from(word: $model) -> Self {
                match word {
                    $($model::$word => $inner::$word),+
                }
            }
        }
    };
}
same_words!(AuthMethod, GrantMethod, Password, Certificate);
same_words!(CertificateOrigin, CertificateOriginModel, Issued, Signed);
same_words!(RevokedReason, RevocationReasonModel, Unspecified, UserRemoved);
same_words!(Operation, OperationModel, Read, Write, ReadWrite);
same_words!(Context, ContextModel, Mqtt, Http);
same_words!(Effect, EffectModel, Allow, Deny);
same_words!(Decision, EffectModel, Allow, Deny);
