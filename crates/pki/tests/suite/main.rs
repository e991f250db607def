//! The crate from outside: files on disk, handshakes in memory, and the installed `openssl` as second opinion.

#[cfg(test)]
mod authority;
#[cfg(test)]
mod handshakes;
#[cfg(test)]
mod identities;
#[cfg(test)]
mod issuing;
#[cfg(test)]
mod live;
#[cfg(test)]
mod openssl;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod support;
