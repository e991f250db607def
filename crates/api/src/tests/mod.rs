//! Every path of the API, good and bad, against real use cases in a fresh directory.

mod certificates;
mod clients;
mod errors;
mod explain;
mod fixture;
mod roles;
mod users;
