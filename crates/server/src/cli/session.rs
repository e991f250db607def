//! The conversation of one command with the server: look-ups by name, whole lists, and changes that cannot get lost.

use hyper::Method;
use serde_json::Value;

use super::answer::Form;
use super::connection::Target;
use super::failure::Failure;
use super::http::{Call, Connection, Reply, percent_encode};

/// One command's way to the server. It connects at the first call.
#[derive(Debug)]
pub(super) struct Session {
    target: Target,
    form: Form,
    connection: Option<Connection>,
}

/// A collection of the REST API whose items have a unique name.
#[derive(Debug)]
pub(super) struct Collection {
    path: &'static str,
    /// What one item is called in messages.
    noun: &'static str,
    name_field: &'static str,
}

impl Collection {
    pub(super) fn path(&self) -> &'static str {
        self.path
    }
}

/// `/api/users`
pub(super) const USERS: Collection =
    Collection { path: "/api/users", noun: "user", name_field: "username" };
/// `/api/roles`
pub(super) const ROLES: Collection =
    Collection { path: "/api/roles", noun: "role", name_field: "name" };

/// An item as the server has it now.
#[derive(Debug)]
pub(super) struct Found {
    /// Its path.
    pub(super) path: String,
    /// Its REST object.
    pub(super) object: Value,
    /// Its version.
    etag: Option<String>,
}

impl Session {
    /// A session that has said nothing yet.
    pub(super) fn new(target: Target, form: Form) -> Session {
        Session { target, form, connection: None }
    }

    /// Asks for what is at `path`.
    pub(super) async fn read(&mut self, path: &str) -> Result<Value, Failure> {
        let call = Call { method: Method::GET, path, if_match: None, body: None };
        Ok(self.call(call).await?.body)
    }

    /// Asks for the text file at `path`.
    pub(super) async fn read_text(&mut self, path: &str) -> Result<String, Failure> {
        let call = Call { method: Method::GET, path, if_match: None, body: None };
        self.connected().await?.call_for_text(call).await
    }

    /// Creates an item in the collection at `path`.
    pub(super) async fn post(&mut self, path: &str, body: &Value) -> Result<Value, Failure> {
        let call = Call { method: Method::POST, path, if_match: None, body: Some(body) };
        Ok(self.call(call).await?.body)
    }

    /// Creates an item.
    pub(super) async fn create(
        &mut self,
        collection: &Collection,
        body: &Value,
    ) -> Result<Value, Failure> {
        self.post(collection.path, body).await
    }

    /// Puts `body` at `path`.
    pub(super) async fn put(&mut self, path: &str, body: &Value) -> Result<(), Failure> {
        let call = Call { method: Method::PUT, path, if_match: None, body: Some(body) };
        self.call(call).await.map(|_| ())
    }

    /// Removes what is at `path`.
    pub(super) async fn remove(&mut self, path: &str) -> Result<(), Failure> {
        let call = Call { method: Method::DELETE, path, if_match: None, body: None };
        self.call(call).await.map(|_| ())
    }

    /// The items of all pages of the list at `path`, which may have a query.
    pub(super) async fn list(&mut self, path: &str) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        for page_number in 1_u64.. {
            let mark = if path.contains('?') { '&' } else { '?' };
            let page_path =
                format!("{path}{mark}pageNumber={page_number}&rowsPerPage={ROWS_PER_PAGE}");
            let mut page = self.read(&page_path).await?;
            let total = page.get("total").and_then(Value::as_u64).unwrap_or_default();
            let Some(Value::Array(rows)) = page.get_mut("items").map(Value::take) else {
                return Err(Failure::Transport(format!("`{path}` did not answer with a list")));
            };
            // An empty page ends it too: items may be removed while they are listed.
            let is_last = rows.is_empty() || page_number.saturating_mul(ROWS_PER_PAGE) >= total;
            items.extend(rows);
            if is_last {
                break;
            }
        }
        Ok(items)
    }

    /// The item called `name`, as it is now.
    pub(super) async fn find(
        &mut self,
        collection: &Collection,
        name: &str,
    ) -> Result<Found, Failure> {
        let id = self.find_id(collection, name).await?;
        let path = format!("{}/{}", collection.path, percent_encode(&id));
        let call = Call { method: Method::GET, path: &path, if_match: None, body: None };
        let Reply { etag, body } = self.call(call).await?;
        Ok(Found { path, object: body, etag })
    }

    /// The id of the item called `name`.
    pub(super) async fn find_id(
        &mut self,
        collection: &Collection,
        name: &str,
    ) -> Result<String, Failure> {
        let query = format!("{}[eq]", collection.name_field);
        let (query, value) = (percent_encode(&query), percent_encode(name));
        let page = self.read(&format!("{}?{query}={value}", collection.path)).await?;
        page.get("items")
            .and_then(Value::as_array)
            .and_then(|items| items.first())
            .and_then(|item| item.get("id"))
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| {
                let noun = collection.noun;
                Failure::Missing(format!("no {noun} `{name}`: `countersign {noun} list` shows all"))
            })
    }

    /// Changes the item called `name` by what `change` makes of it as it is now. Where somebody else changed it in
    /// between, `change` gets to see the new state, so that no change of either is lost.
    pub(super) async fn change(
        &mut self,
        collection: &Collection,
        name: &str,
        change: impl Fn(&Value) -> Result<Value, Failure>,
    ) -> Result<Value, Failure> {
        let mut attempts_left = CHANGE_ATTEMPTS_MAX;
        loop {
            let found = self.find(collection, name).await?;
            let patch = change(&found.object)?;
            let call = Call {
                method: Method::PATCH,
                path: &found.path,
                if_match: found.etag.as_deref(),
                body: Some(&patch),
            };
            attempts_left -= 1;
            match self.call(call).await {
                Err(Failure::Refused(problem)) if problem.status == 412 && attempts_left > 0 => {}
                result => return result.map(|reply| reply.body),
            }
        }
    }

    /// What [`Session::change`] would do.
    pub(super) async fn try_change(
        &mut self,
        collection: &Collection,
        name: &str,
        change: impl Fn(&Value) -> Result<Value, Failure>,
    ) -> Result<Value, Failure> {
        let found = self.find(collection, name).await?;
        let (path, patch) = (format!("{}?dryRun=true", found.path), change(&found.object)?);
        let call = Call { method: Method::PATCH, path: &path, if_match: None, body: Some(&patch) };
        Ok(self.call(call).await?.body)
    }

    /// What [`Session::remove`] would do.
    pub(super) async fn try_remove(&mut self, path: &str) -> Result<Value, Failure> {
        let mark = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{mark}dryRun=true");
        let call = Call { method: Method::DELETE, path: &path, if_match: None, body: None };
        Ok(self.call(call).await?.body)
    }

    /// Whether this command's answer is for a person, who wants names where the API has ids.
    pub(super) fn is_for_a_person(&self) -> bool {
        self.form == Form::Text
    }

    async fn call(&mut self, call: Call<'_>) -> Result<Reply, Failure> {
        self.connected().await?.call(call).await
    }

    async fn connected(&mut self) -> Result<&mut Connection, Failure> {
        match &mut self.connection {
            Some(connection) => Ok(connection),
            closed => Ok(closed.insert(Connection::open(&self.target).await?)),
        }
    }
}

/// The most that the API gives at once.
const ROWS_PER_PAGE: u64 = 100;
/// How often a change is tried while others change the same item.
const CHANGE_ATTEMPTS_MAX: u32 = 5;
