//! A client as REST shows it.

use access::AuthMethod;
use admin::model::Time;
use broker::{CertificateName, ClientView, SubscriptionView};
use mqtt::{ProtocolVersion, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A connected client, or the session of one that is away.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientModel {
    /// Name of the user that it logged in as.
    pub user: String,
    /// Id of the user.
    pub user_id: Uuid,
    /// Its client id, unique for the user.
    pub client_id: String,
    /// Address of the connection, or of the last one.
    pub address: String,
    /// Listener of the connection, or of the last one.
    pub listener: String,
    /// Whether there is a connection now.
    pub connected: bool,
    /// How the user proved itself: `password`, `certificate`, both joined by `+`, or `unknown` for a session of a broker that did not keep this.
    pub auth_method: String,
    /// `TLSv1.2` or `TLSv1.3`, if the connection is encrypted.
    pub tls_version: Option<&'static str>,
    /// The cipher suite, if the connection is encrypted.
    pub cipher: Option<&'static str>,
    /// The certificate that the client gave, if one was asked for.
    pub certificate: Option<ClientCertificateModel>,
    /// MQTT version: `3.1`, `3.1.1` or `5.0`.
    pub protocol_version: &'static str,
    /// Whether the connection began with a new session.
    pub clean_start: bool,
    /// Seconds the session outlives its connection; 4294967295: it never ends by itself.
    pub session_expiry_seconds: u32,
    /// What it has subscribed to.
    pub subscriptions: Vec<SubscriptionModel>,
    /// Messages that wait for it.
    pub queued: usize,
    /// Messages that were sent to it and that it has not acknowledged.
    pub in_flight: usize,
    /// When the connection was made, or the last one.
    pub connected_at: Time,
    /// When the connection ended, if there is none now.
    pub disconnected_at: Option<Time>,
    /// Bytes from the client on this connection.
    pub bytes_in: u64,
    /// Bytes to the client on this connection.
    pub bytes_out: u64,
    /// Messages from the client on this connection.
    pub messages_in: u64,
    /// Messages to the client on this connection.
    pub messages_out: u64,
    /// Messages for the client that were dropped.
    pub dropped: u64,
}

/// The certificate that a client gave in its TLS handshake.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificateModel {
    /// SHA-256 of its DER in lower-case hexadecimal digits.
    pub fingerprint: String,
    /// When its validity ends, and the connection with it.
    pub expires_at: Time,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionModel {
    /// The filter as it was subscribed, with its `$share` part.
    pub filter: String,
    /// The QoS granted.
    pub qos: u8,
    /// Whether a deny rule holds back a part of what matches.
    pub is_filtered: bool,
}

impl From<&ClientView> for ClientModel {
    fn from(view: &ClientView) -> ClientModel {
        let time = |at: Timestamp| Time(at.0);
        let security = view.security.as_deref();
        ClientModel {
            user: view.user_name.as_str().to_owned(),
            user_id: view.user.0,
            client_id: view.client_id.to_string(),
            address: view.address.to_string(),
            listener: view.listener.to_string(),
            connected: view.connected,
            tls_version: security.map(|security| security.protocol),
            cipher: security.map(|security| security.cipher),
            certificate: security
                .and_then(|security| security.certificate.as_ref())
                .map(ClientCertificateModel::from),
            auth_method: auth_method(&view.auth_methods),
            protocol_version: match view.version {
                ProtocolVersion::V31 => "3.1",
                ProtocolVersion::V311 => "3.1.1",
                ProtocolVersion::V5 => "5.0",
            },
            clean_start: view.clean_start,
            session_expiry_seconds: view.session_expiry_s,
            subscriptions: view.subscriptions.iter().map(SubscriptionModel::from).collect(),
            queued: view.queued,
            in_flight: view.in_flight,
            connected_at: time(view.connected_at),
            disconnected_at: view.disconnected_at.map(time),
            bytes_in: view.traffic.bytes_in,
            bytes_out: view.traffic.bytes_out,
            messages_in: view.traffic.messages_in,
            messages_out: view.traffic.messages_out,
            dropped: view.traffic.dropped,
        }
    }
}

impl From<&CertificateName> for ClientCertificateModel {
    fn from(name: &CertificateName) -> ClientCertificateModel {
        let digits = name.fingerprint.iter().map(|byte| format!("{byte:02x}"));
        ClientCertificateModel {
            fingerprint: digits.collect(),
            expires_at: Time(name.not_after_s.saturating_mul(1000)),
        }
    }
}

impl From<&SubscriptionView> for SubscriptionModel {
    fn from(view: &SubscriptionView) -> SubscriptionModel {
        SubscriptionModel {
            filter: view.filter.clone(),
            qos: match view.qos {
                mqtt::Qos::AtMostOnce => 0,
                mqtt::Qos::AtLeastOnce => 1,
                mqtt::Qos::ExactlyOnce => 2,
            },
            is_filtered: view.is_filtered,
        }
    }
}

fn auth_method(methods: &[AuthMethod]) -> String {
    // A session from before a restart, whose client has not come back: nobody has proven anything to this process.
    if methods.is_empty() {
        return "unknown".to_owned();
    }
    let words = methods.iter().map(|method| match method {
        AuthMethod::Password => "password",
        AuthMethod::Certificate => "certificate",
    });
    words.collect::<Vec<_>>().join("+")
}
