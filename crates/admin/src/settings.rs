//! What the configuration decides about logging in and administration.

use std::time::Duration;

use access::UserName;

use crate::policy::PasswordPolicy;
use crate::secret::Secret;

/// Settings of [`crate::Admin`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// How clients prove themselves.
    pub authentication: AuthenticationMode,
    /// The user that stands for a client that gives neither user name nor password; off if `None`. It needs no
    /// password, must exist and be enabled, and may have no required grant type; otherwise such clients are refused.
    pub anonymous_user: Option<UserName>,
    /// What a new password must look like.
    pub password_policy: PasswordPolicy,
    /// The administrator of the first start.
    pub first_admin: FirstAdmin,
    /// Cost of a new hash; weaker ones in store are renewed at the next good login.
    pub hash_cost: HashCost,
    /// Bounds of the pool that hashes.
    pub hash_pool: HashPoolLimits,
    /// The longest password in bytes, at login and when set.
    pub password_bytes_max: usize,
    /// The most permissions of one user or role.
    pub permissions_per_owner_max: usize,
    /// The most roles of one user.
    pub roles_per_user_max: usize,
    /// What certificates may be issued.
    pub certificates: CertificateSettings,
    /// How long bearer tokens are good, and how many there may be.
    pub tokens: TokenSettings,
    /// When failed logins lock a user or a source.
    pub protection: ProtectionSettings,
    /// How clients may ask to be let in.
    pub registry: RegistrySettings,
    /// How many refusals are kept.
    pub refusals: RefusalSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            authentication: AuthenticationMode::default(),
            anonymous_user: None,
            password_policy: PasswordPolicy::default(),
            first_admin: FirstAdmin::RandomPassword,
            hash_cost: HashCost::default(),
            hash_pool: HashPoolLimits::default(),
            password_bytes_max: 1024,
            permissions_per_owner_max: 200_000,
            roles_per_user_max: 1000,
            certificates: CertificateSettings::default(),
            tokens: TokenSettings::default(),
            protection: ProtectionSettings::default(),
            registry: RegistrySettings::default(),
            refusals: RefusalSettings::default(),
        }
    }
}

/// What certificates may be issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateSettings {
    /// Days of validity where nobody asks for a number; at most `days_max`.
    pub days_default: u32,
    /// The most days of validity. The authority's own end is a bound besides.
    pub days_max: u32,
    /// The most certificates of one user that are good at the same time.
    pub per_user_max: usize,
}

impl Default for CertificateSettings {
    fn default() -> Self {
        CertificateSettings { days_default: 365, days_max: 3650, per_user_max: 1000 }
    }
}

/// Bounds of bearer tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// Hours a token is good where nobody asks for a number; at most `hours_max`.
    pub hours_default: u32,
    /// The most hours a token is good.
    pub hours_max: u32,
    /// The most tokens of one user. Full: a new one takes the place of the oldest.
    pub per_user_max: usize,
}

impl Default for TokenSettings {
    fn default() -> Self {
        TokenSettings { hours_default: 24, hours_max: 8760, per_user_max: 100 }
    }
}

/// How many refusals are kept to be looked up and explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusalSettings {
    /// Of one client that has logged in. Full: its oldest goes.
    pub per_client_max: usize,
    /// Of all clients of one user that have logged in. Full: the user's oldest goes.
    pub per_user_max: usize,
    /// Of all clients that have logged in. Full: the oldest of all goes.
    pub clients_max: usize,
    /// Refused logins as one user with one client id. Full: the oldest of them goes.
    pub logins_per_client_max: usize,
    /// Refused logins as one user. Full: the oldest of them goes.
    pub logins_per_user_max: usize,
    /// Refused logins as users that there are. Full: the oldest of them goes.
    pub logins_max: usize,
    /// Refused logins by names that no user has, or by none. Full: the oldest of them goes.
    pub unknown_logins_max: usize,
}

impl Default for RefusalSettings {
    fn default() -> Self {
        RefusalSettings {
            per_client_max: 32,
            per_user_max: 256,
            clients_max: 20_000,
            logins_per_client_max: 16,
            logins_per_user_max: 64,
            logins_max: 8_192,
            unknown_logins_max: 2_048,
        }
    }
}

/// When failed logins lock a user or a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtectionSettings {
    /// Failures in the window that lock a user; 0: none.
    pub failures_per_user: u32,
    /// Failures in the window that lock a source address (IPv6: a /64); 0: none.
    pub failures_per_source: u32,
    /// The time in which failures add up.
    pub window: Duration,
    /// How long the first lock lasts. Each further one without an hour of peace lasts twice the last, up to an hour.
    pub lockout: Duration,
}

impl Default for ProtectionSettings {
    fn default() -> Self {
        ProtectionSettings {
            failures_per_user: 10,
            failures_per_source: 50,
            window: Duration::from_secs(60),
            lockout: Duration::from_secs(300),
        }
    }
}

/// Bounds of the client registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistrySettings {
    /// How long it is unlocked where nobody asks for a time.
    pub unlock_time: Duration,
    /// The longest time that may be asked for.
    pub unlock_time_max: Duration,
    /// Requests that wait for a decision. Full: new ones are refused. Of decided ones as many are kept; the oldest go.
    pub pending_max: usize,
    /// Those of one source address (IPv6: a /64). Full: its new ones are refused.
    pub pending_per_source_max: usize,
    /// New requests of one source in the window. More are refused.
    pub new_per_source_max: u32,
    /// The time in which new requests are counted.
    pub window: Duration,
    /// How long a request waits for a decision, and is kept after it.
    pub expiry: Duration,
}

impl Default for RegistrySettings {
    fn default() -> Self {
        RegistrySettings {
            unlock_time: Duration::from_secs(300),
            unlock_time_max: Duration::from_secs(86_400),
            pending_max: 1000,
            pending_per_source_max: 50,
            new_per_source_max: 30,
            window: Duration::from_secs(60),
            expiry: Duration::from_secs(86_400),
        }
    }
}

/// How clients prove themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthenticationMode {
    /// By user name and password.
    #[default]
    Password,
    /// By a client certificate.
    MutualTls,
    /// By one or the other, as the user's grant types allow.
    Either,
}

/// The administrator `admin`, made at the first start only: in a store that was never started before. It is not made
/// again when it was removed later, and a later change of this setting changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FirstAdmin {
    /// With a random password that is told once.
    #[default]
    RandomPassword,
    /// With this password, which must fit the policy like any other: there is never a well-known password.
    Password(Secret),
    /// Not made.
    None,
}

/// Cost of an Argon2id hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashCost {
    /// Memory in KiB, at least 8 for each lane.
    pub memory_kib: u32,
    /// Passes over the memory, at least 1.
    pub passes: u32,
    /// Lanes, at least 1; they run one after the other.
    pub lanes: u32,
}

impl Default for HashCost {
    /// The first choice of OWASP's Password Storage Cheat Sheet.
    fn default() -> Self {
        HashCost { memory_kib: 19_456, passes: 2, lanes: 1 }
    }
}

/// Bounds of the pool that hashes passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashPoolLimits {
    /// Threads, each with the memory of one hash; 0 takes half of the cores, at least one.
    pub threads: usize,
    /// Hashes that may wait. When it is full, the source with the most waiting ones loses its newest.
    pub queue_max: usize,
    /// How long a login waits for its hash before it is refused as busy.
    pub deadline: Duration,
    /// Added to the threads' nice value (Linux), so that hashing yields to traffic.
    pub nice: i32,
}

impl Default for HashPoolLimits {
    fn default() -> Self {
        HashPoolLimits { threads: 0, queue_max: 1024, deadline: Duration::from_secs(10), nice: 10 }
    }
}
