//! The one answer of this API that holds a private key. It is written into memory that is wiped after it was sent.

use admin::IssuedCertificate;
use admin::model::CertificateView;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::problem::{Kind, Problem};

/// A certificate that was just issued.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IssuedModel<'a> {
    /// What is on record.
    #[serde(flatten)]
    view: &'a CertificateView,
    /// The certificate as PEM.
    certificate: &'a str,
    /// Its private key as PKCS#8 PEM, if it was made here.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    /// The authority's certificate as PEM.
    ca: &'a str,
    /// Certificate, key and authority as a PKCS#12 file in Base64, if a password was given for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    p12: Option<&'a str>,
}

/// The JSON of a certificate that was just issued.
pub(crate) fn issued_json(issued: &IssuedCertificate) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let p12 = issued.pkcs12.as_ref().map(|file| Zeroizing::new(STANDARD.encode(file.expose())));
    let model = IssuedModel {
        view: &issued.view,
        certificate: &issued.certificate_pem,
        key: issued.key.as_ref().map(|key| key.expose()),
        ca: &issued.authority_pem,
        p12: p12.as_ref().map(|p12| p12.as_str()),
    };
    let texts = [Some(model.certificate), model.key, Some(model.ca), model.p12];
    let texts = texts.into_iter().flatten().map(str::len).sum::<usize>();
    // A line feed becomes two bytes. Grown later, it would leave a copy of the key behind.
    let mut json = Zeroizing::new(Vec::with_capacity(2 * texts + OTHER_FIELDS_BYTES));
    match serde_json::to_writer(&mut *json, &model) {
        Ok(()) => Ok(json),
        Err(_) => Err(Problem::new(Kind::Internal, "the answer cannot be written")),
    }
}

/// Names of all fields, and the values of those that are short.
const OTHER_FIELDS_BYTES: usize = 4096;
