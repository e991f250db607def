//! The bodies of the fuzz targets, as plain functions of bytes. Each panics when something does not
//! hold.

pub mod connection;
pub mod decode;
pub mod frames;
pub mod input;
pub mod session;
pub mod topics;
