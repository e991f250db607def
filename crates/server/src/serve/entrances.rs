//! Which listeners there are, and what each demands of a client.

use std::sync::Arc;

use admin::AuthenticationMode;
use axum::Router;
use pki::ClientCertificate;

use super::door::Door;
use super::error::ServeError;
use super::handshake::Demand;
use super::http::Http;
use super::listener::Listener;
use super::places::Places;
use super::upgrade::Rules;
use crate::config::{Config, authentication_word};

/// The bound listeners, in the order of the ready line.
pub(crate) struct Entrances(Vec<(Kind, Listener)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mqtt,
    Mqtts,
    Https,
    Ws,
}

impl Entrances {
    /// Binds what is to be opened.
    ///
    /// # Errors
    /// An address cannot be bound.
    pub(crate) fn bind(config: &Config) -> Result<Self, ServeError> {
        let listeners = &config.listeners;
        let all = [
            (Kind::Mqtt, listeners.mqtt),
            (Kind::Mqtts, listeners.mqtts),
            (Kind::Https, listeners.https),
            (Kind::Ws, listeners.ws),
        ];
        let mode = config.login.authentication;
        let mut bound = Vec::new();
        for (kind, address) in all {
            if let Some(address) = address.filter(|_| kind.is_opened(mode)) {
                bound.push((kind, Listener::bind(kind.name(), address)?));
            }
        }
        Ok(Self(bound))
    }

    /// The line that says where they are.
    pub(crate) fn ready_line(&self) -> String {
        let places = self.0.iter().map(|(kind, it)| format!(" {}={}", kind.name(), it.address));
        format!("ready{}", places.collect::<String>())
    }

    /// Flaw 27: what each listener demands is told at every start.
    pub(crate) fn log(&self, config: &Config) {
        let mode = config.login.authentication;
        let anonymous = config.login.anonymous_user.as_ref().map_or("refused", |it| it.as_str());
        for (kind, listener) in &self.0 {
            let authentication = kind.demands(mode);
            tracing::info!(
                listener = listener.name, address = %listener.address,
                transport = kind.transport(), authentication, anonymous, "listening"
            );
            if !kind.is_encrypted() && !listener.address.ip().is_loopback() {
                tracing::warn!(
                    listener = listener.name, address = %listener.address,
                    "passwords cross this listener in clear, and it is open to other machines"
                );
            }
        }
        if mode == AuthenticationMode::MutualTls {
            tracing::info!(
                authentication = authentication_word(mode),
                "the plain listeners `mqtt` and `ws` are not opened"
            );
        }
        if self.0.is_empty() {
            tracing::warn!("no listener is open, so no client can connect");
        }
    }

    /// The listeners with what lies behind each.
    pub(crate) fn open(
        self,
        config: &Config,
        router: &Router,
        http_places: &Arc<Places>,
    ) -> Vec<(Listener, Arc<Door>)> {
        let with_door = |(kind, listener): (Kind, Listener)| {
            (listener, Arc::new(kind.door(config, router, http_places)))
        };
        self.0.into_iter().map(with_door).collect()
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Mqtts => "mqtts",
            Self::Https => "https",
            Self::Ws => "ws",
        }
    }

    fn transport(self) -> &'static str {
        match self {
            Self::Mqtt => "tcp",
            Self::Mqtts => "tls",
            Self::Https => "https, websocket at /mqtt",
            Self::Ws => "websocket at /mqtt",
        }
    }

    fn is_encrypted(self) -> bool {
        matches!(self, Self::Mqtts | Self::Https)
    }

    /// Without TLS there is no certificate.
    fn is_opened(self, mode: AuthenticationMode) -> bool {
        self.is_encrypted() || mode != AuthenticationMode::MutualTls
    }

    fn demands(self, mode: AuthenticationMode) -> &'static str {
        match mode {
            AuthenticationMode::Password => "password",
            AuthenticationMode::MutualTls => "certificate",
            AuthenticationMode::Either if self.is_encrypted() => "certificate or password",
            AuthenticationMode::Either => "password",
        }
    }

    fn door(self, config: &Config, router: &Router, http_places: &Arc<Places>) -> Door {
        let mode = config.login.authentication;
        let rules = || Rules {
            needs_certificate: mode == AuthenticationMode::MutualTls,
            origins: config.websocket.origins.clone(),
        };
        let tls = |listener| Some(Demand { listener, certificate: self.certificate(mode) });
        match self {
            Self::Mqtt => Door { tls: None, http: None },
            Self::Mqtts => Door { tls: tls(pki::Listener::Mqtts), http: None },
            Self::Https => {
                let places = Arc::clone(http_places);
                let http = Http::with_api(rules(), config.http.clone(), router.clone(), places);
                Door { tls: tls(pki::Listener::Https), http: Some(Arc::new(http)) }
            }
            Self::Ws => {
                let http = Http::websocket_only(rules(), config.http.clone());
                Door { tls: None, http: Some(Arc::new(http)) }
            }
        }
    }

    fn certificate(self, mode: AuthenticationMode) -> ClientCertificate {
        match (mode, self) {
            (AuthenticationMode::Password, _) => ClientCertificate::NotAsked,
            (AuthenticationMode::MutualTls, Self::Mqtts) => ClientCertificate::Mandatory,
            // Users of the API have tokens; only its WebSocket demands a certificate.
            (AuthenticationMode::MutualTls | AuthenticationMode::Either, _) => {
                ClientCertificate::Optional
            }
        }
    }
}
