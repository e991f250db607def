//! Authorities and certificates that tests make.

use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;

/// An authority of a test.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pub(crate) pem: String,
    above: Vec<CertificateDer<'static>>,
}

/// A client's chain and key.
pub(crate) struct Client {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

/// What a certificate says.
pub(crate) struct Leaf<'a> {
    pub(crate) names: &'a [&'a str],
    pub(crate) valid_from_s: i64,
    pub(crate) valid_until_s: i64,
    pub(crate) usage: ExtendedKeyUsagePurpose,
    pub(crate) serial: u64,
}

impl<'a> Leaf<'a> {
    /// Valid for a day.
    pub(crate) fn named(names: &'a [&'a str]) -> Self {
        let now_s = now_s();
        Self {
            names,
            valid_from_s: now_s - 3600,
            valid_until_s: now_s + 86_400,
            usage: ExtendedKeyUsagePurpose::ClientAuth,
            serial: 4711,
        }
    }
}

impl Client {
    /// From what the broker has issued.
    pub(crate) fn from_pem(certificate_pem: &str, key_pem: &str) -> Self {
        Self {
            chain: vec![CertificateDer::from_pem_slice(certificate_pem.as_bytes()).unwrap()],
            key: PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).unwrap(),
        }
    }
}

impl Ca {
    /// A root.
    pub(crate) fn root(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let parameters = authority(name);
        let certificate = parameters.self_signed(&key).unwrap();
        let pem = certificate.pem();
        let issuer = Issuer::new(parameters, key);
        Self { issuer, certificate: certificate.into(), pem, above: Vec::new() }
    }

    /// An intermediate below this one.
    pub(crate) fn intermediate(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let parameters = authority(name);
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let pem = certificate.pem();
        let certificate = CertificateDer::from(certificate);
        let above = vec![certificate.clone()];
        Self { issuer: Issuer::new(parameters, key), certificate, pem, above }
    }

    /// A client of this name, valid for a day.
    pub(crate) fn client(&self, name: &str) -> Client {
        self.sign(&Leaf::named(&[name]))
    }

    /// A client's certificate that says this.
    pub(crate) fn sign(&self, leaf: &Leaf<'_>) -> Client {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        for (index, name) in leaf.names.iter().enumerate() {
            // The library keeps one value a type; further common names hide behind a custom one of the same OID.
            let kind = match index {
                0 => DnType::CommonName,
                _ => DnType::CustomDnType(vec![2, 5, 4, 3]),
            };
            parameters.distinguished_name.push(kind, *name);
        }
        parameters.not_before = date(leaf.valid_from_s);
        parameters.not_after = date(leaf.valid_until_s);
        parameters.serial_number = Some(leaf.serial.into());
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.use_authority_key_identifier_extension = true;
        parameters.extended_key_usages = vec![leaf.usage.clone()];
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let mut chain = vec![CertificateDer::from(certificate)];
        chain.extend(self.above.iter().cloned());
        Client { chain, key: PrivatePkcs8KeyDer::from(key.serialize_der()).into() }
    }

    /// The authority itself, as if it were a client.
    pub(crate) fn as_client(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// A revocation list.
    pub(crate) fn crl(&self, number: u64, serials: &[u64]) -> String {
        let now_s = now_s();
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date(now_s - 60),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date(now_s - 3600),
            next_update: date(now_s + 86_400),
            crl_number: number.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.not_before = date(now_s() - 86_400);
    parameters.not_after = date(now_s() + 86_400 * 365);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.use_authority_key_identifier_extension = true;
    parameters
}

/// Seconds since the Unix epoch.
pub(crate) fn now_s() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

fn date(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}
