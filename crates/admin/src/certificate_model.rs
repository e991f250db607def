//! The shapes of certificates that REST and the command line exchange. None of them holds a private key.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::model::Time;
use crate::secret::Secret;

/// A certificate of a user, as it is shown with the user.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserCertificateView {
    /// SHA-256 of the DER in lower-case hexadecimal.
    pub fingerprint: String,
    /// Serial number in lower-case hexadecimal.
    pub serial: String,
    /// When it was issued.
    pub created_at: Time,
    /// When its validity ends.
    pub expires_at: Time,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Time>,
}

/// A certificate that was issued here.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateView {
    /// SHA-256 of the DER in lower-case hexadecimal.
    pub fingerprint: String,
    /// Serial number in lower-case hexadecimal.
    pub serial: String,
    /// Id of the user, who may have been removed since.
    pub user_id: Uuid,
    /// The user's name at the time of issue: the certificate's Common Name.
    pub username: String,
    /// Where its key comes from.
    pub origin: CertificateOriginModel,
    /// Whether it is good now.
    pub status: CertificateStatus,
    /// Whether it is good now and ends within 30 days.
    pub expires_soon: bool,
    /// When it was issued.
    pub created_at: Time,
    /// When its validity begins.
    pub not_before: Time,
    /// When its validity ends.
    pub expires_at: Time,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Time>,
    /// Why it was revoked, if it was.
    pub revocation_reason: Option<RevocationReasonModel>,
}

/// Where the key of a certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum CertificateOriginModel {
    /// It was made here and handed out once, with the certificate.
    Issued,
    /// Only the user has it: a signing request was signed.
    Signed,
}

/// Whether a certificate is good. Revoked goes before expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum CertificateStatus {
    /// Within its validity and not revoked.
    Valid,
    /// Its validity begins later.
    NotYetValid,
    /// Its validity is over.
    Expired,
    /// It was revoked.
    Revoked,
}

/// Why a certificate was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum RevocationReasonModel {
    /// Somebody asked for it.
    Unspecified,
    /// Its user was removed.
    UserRemoved,
}

/// A certificate to be made: for a new key, or for the key of a signing request.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewCertificate {
    /// A certificate signing request as PEM; absent for a new key. Only its key is taken from it, and its Common Name must
    /// be the user's name.
    #[serde(default)]
    pub csr: Option<String>,
    /// Days of validity; 365 if absent, unless configured otherwise.
    #[serde(default, deserialize_with = "crate::whole::optional")]
    #[schema(minimum = 1)]
    pub days: Option<u32>,
    /// For a new key: answer with a PKCS#12 file under this password besides, of at least 8 characters.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub p12_password: Option<Secret>,
}

/// Which certificates a list shows. What is absent does not narrow it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateFilter {
    /// Only those issued for the user of exactly this name, be it removed since.
    pub username: Option<String>,
    /// Only those that are good now and end within so many days.
    pub expiring_within_days: Option<u32>,
}
