//! Every path of the API, good and bad, against real use cases in a fresh directory.

mod attacks;
mod callers;
mod certificates;
mod clients;
mod document;
mod dry_run;
mod errors;
mod explain;
mod fixture;
mod refusals;
mod registry;
mod roles;
mod users;
