//! Requests about one object or kind, as JSON: no discovery, no types; and what the API's refusals mean.

use hyper::http::{Method, Request};
use serde_json::Value;

use super::super::client;
use super::Site;
use crate::error::Failure;
use crate::manifest::{Kind, names};
use crate::platform::Error;

type Result<T> = std::result::Result<T, Error>;

/// One request in the making.
pub struct Call<'a> {
    pub method: Method,
    pub path: String,
    pub content: Option<&'static str>,
    pub body: Option<&'a Value>,
    /// What it is about, for messages: `Deployment/orders-blue`.
    pub object: String,
}

/// `/apis/apps/v1/namespaces/shop/deployments[/name]`.
pub fn path(site: &Site, kind: Kind, name: Option<&str>) -> String {
    let root = if kind.group().is_empty() { "/api" } else { "/apis" };
    let mut path = format!("{root}/{}/namespaces/{}/{}", kind.api_version(), site.namespace, kind.plural());
    if let Some(name) = name {
        path += &format!("/{name}");
    }
    path
}

pub async fn send(site: &Site, call: Call<'_>) -> Result<Value> {
    let body = call.body.map(|b| b.to_string().into_bytes()).unwrap_or_default();
    let mut request = Request::builder().method(call.method).uri(&call.path);
    if let Some(content) = call.content {
        request = request.header("content-type", content);
    }
    let request = request.header("accept", "application/json").body(body).map_err(anyhow::Error::from)?;
    site.client.request::<Value>(request).await.map_err(|e| refusal(e, &call.object))
}

pub async fn get(site: &Site, kind: Kind, name: &str) -> Result<Value> {
    let object = format!("{}/{name}", kind.name());
    let path = path(site, kind, Some(name));
    send(site, Call { method: Method::GET, path, content: None, body: None, object }).await
}

/// None where there is none.
pub async fn find(site: &Site, kind: Kind, name: &str) -> Result<Option<Value>> {
    match get(site, kind, name).await {
        Ok(object) => Ok(Some(object)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The service's objects of one kind, without what is kept of deploys. A kind the cluster does not have, has none.
pub async fn list(site: &Site, kind: Kind) -> Result<Vec<Value>> {
    selected(site, kind, &format!("{},!{}", names::selector(&site.service), names::DEPLOY)).await
}

/// What is kept of deploys.
pub async fn stories(site: &Site) -> Result<Vec<Value>> {
    let selector = format!("{},{}", names::selector(&site.service), names::DEPLOY);
    selected(site, Kind::ConfigMap, &selector).await
}

async fn selected(site: &Site, kind: Kind, selector: &str) -> Result<Vec<Value>> {
    let selector =
        percent_encoding::utf8_percent_encode(selector, percent_encoding::NON_ALPHANUMERIC).to_string();
    let path = format!("{}?labelSelector={selector}", path(site, kind, None));
    let object = format!("{} of {}", kind.plural(), site.namespace);
    match send(site, Call { method: Method::GET, path, content: None, body: None, object }).await {
        Ok(mut list) => {
            let items = list["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
            // Items of a list do not say what they are.
            let named = |mut item: Value| {
                item["apiVersion"] = kind.api_version().into();
                item["kind"] = kind.name().into();
                item
            };
            Ok(items.into_iter().map(named).collect())
        }
        Err(Error::NotFound(_)) if Kind::ROUTES.contains(&kind) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// What an error of the client means.
pub fn refusal(error: kube::Error, object: &str) -> Error {
    let status = match error {
        kube::Error::Api(status) => status,
        other => return client::unanswered(other, object),
    };
    let about = |reason, text: String| Error::Other(Failure::failed(reason, text).object(object).into());
    let message = status.message.clone();
    let terminating =
        message.contains("being terminated") || causes(&status).any(|c| c.0 == "NamespaceTerminating");
    match status.code {
        404 => Error::NotFound(format!("{object}: {message}")),
        409 => conflict(&status, object),
        403 if terminating => Error::Terminating(object.to_owned()),
        403 if message.contains("exceeded quota") => about("quota", format!("{object}: {message}")),
        403 if message.contains(" per Container is ") || message.contains(" per Pod is ") => {
            about("limit-range", format!("{object}: {message}"))
        }
        403 if message.contains("violates PodSecurity") => {
            about("pod-security", format!("{object}: {message}"))
        }
        400 | 403 if message.contains("admission webhook") => {
            about("admission", format!("{object}: {message}"))
        }
        401 => client::unauthorized(object),
        403 => Error::Forbidden(client::forbidden(&message, "this one")),
        422 | 400 => about("invalid-object", format!("{object}: {message}")),
        _ => Error::Other(anyhow::anyhow!("{object}: {message}")),
    }
}

fn causes(status: &kube::core::Status) -> impl Iterator<Item = (&str, &str, &str)> {
    let causes = status.details.as_ref().map(|d| d.causes.as_slice()).unwrap_or_default();
    causes.iter().map(|c| (c.reason.as_str(), c.message.as_str(), c.field.as_str()))
}

/// Fields of other managers are named with them; an epoch of another is the fence.
fn conflict(status: &kube::core::Status, object: &str) -> Error {
    let mut owners: Vec<(String, Vec<String>)> = Vec::new();
    for (reason, message, field) in causes(status) {
        if reason != "FieldManagerConflict" {
            continue;
        }
        if field.contains(names::EPOCH) {
            return Error::Overtaken { seen: 0, ours: 0 };
        }
        let manager = message.split('"').nth(1).unwrap_or(message).to_owned();
        match owners.iter_mut().find(|(m, _)| *m == manager) {
            Some((_, fields)) => fields.push(field.to_owned()),
            None => owners.push((manager, vec![field.to_owned()])),
        }
    }
    if owners.is_empty() {
        return Error::Conflict(object.to_owned());
    }
    let text = owners.iter().map(|(manager, fields)| format!("{manager} ({})", fields.join(", ")));
    Error::Owned { object: object.to_owned(), manager: text.collect::<Vec<_>>().join("; ") }
}
