//! Measurements from outside the slots: a Prometheus query, a web gate. Messages never carry the address's query,
//! which may hold a token, nor a header's value; `${NAME}` in one is a variable of the environment, never stored.

use std::collections::BTreeMap;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{Measure, Metric, Reading, Sighting, Target, json};
use crate::image::http::{Answer, Client};
use crate::rollout::Slot;

/// `http://prometheus:9090/…` without what may be secret.
fn shown(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

async fn get(client: &Client, url: &str, headers: HeaderMap) -> Result<Answer, String> {
    // What people put before the @ is a secret, and this client has no use for it.
    if url.split("//").nth(1).is_some_and(|rest| rest.split('/').next().is_some_and(|a| a.contains('@'))) {
        return Err("the address holds a user; give a header instead".into());
    }
    let sent = client.send(Method::GET, url, headers, Bytes::new()).await;
    sent.map_err(|error| format!("{} does not answer: {}", shown(url), error.root_cause()))
}

/// Looks a variable of the environment up.
pub type Variables<'a> = dyn Fn(&str) -> Option<String> + Send + Sync + 'a;

/// Headers as they are sent. Their values are shown nowhere.
pub fn headers(written: &BTreeMap<String, String>, variables: &Variables<'_>) -> Result<HeaderMap, String> {
    let mut sent = HeaderMap::new();
    for (name, text) in written {
        let mut value = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let (variable, after) =
                after.split_once('}').ok_or_else(|| format!("the header {name}: a ${{ has no }}"))?;
            value += before;
            value += &variables(variable).ok_or_else(|| {
                format!("the header {name} needs the variable {variable}, which is not set")
            })?;
            rest = after;
        }
        value += rest;
        let name: HeaderName = name.parse().map_err(|_| format!("{name:?} is no header"))?;
        let mut value = HeaderValue::from_str(value.trim())
            .map_err(|_| format!("the header {name} has characters that none may have"))?;
        value.set_sensitive(true);
        sent.insert(name, value);
    }
    Ok(sent)
}

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The query is wrong; asking again does not help.
    Query(String),
    /// No answer, or not Prometheus's.
    Place(String),
}

impl Trouble {
    fn told(self, place: &str) -> String {
        match self {
            Trouble::Query(why) => format!("{why} ({place}.prometheus)"),
            Trouble::Place(why) => why,
        }
    }
}

/// The metric's query for the candidate and, where they are compared, the live slot.
pub async fn prometheus(
    client: &Client,
    metric: &Metric,
    target: &Target,
    variables: &Variables<'_>,
) -> Result<Sighting, String> {
    let Measure::Prometheus { query, address, headers: written } = &metric.measure else {
        return Err("it is no query".into());
    };
    let sent = headers(written, variables)?;
    let ask = async |slot: Slot| {
        let found = instant(client, address, &fill(query, target, slot), sent.clone()).await;
        found.map_err(|trouble| trouble.told(&metric.place))
    };
    let candidate = ask(target.candidate).await?;
    let live = if metric.compares() { Some(ask(target.live).await?) } else { None };
    let reading = |value: Option<f64>| Reading { value, samples: 0 };
    let note = candidate.is_none().then(|| "the query finds no series".to_owned());
    Ok(Sighting {
        candidate: reading(candidate),
        live: live.map(reading),
        text: candidate.map(|v| v.to_string()),
        note,
        ..Sighting::default()
    })
}

/// The query for one slot.
pub fn fill(query: &str, target: &Target, slot: Slot) -> String {
    let revision = if slot == target.candidate { target.revision } else { target.live_revision };
    query
        .replace("$namespace", &target.namespace)
        .replace("$revision", &revision.to_string())
        .replace("$service", &target.service)
        .replace("$slot", slot.name())
}

/// What the query's value is now; None where it finds no series, or nothing but NaN.
pub async fn instant(
    client: &Client,
    address: &str,
    query: &str,
    headers: HeaderMap,
) -> Result<Option<f64>, Trouble> {
    let url = format!("{address}/api/v1/query?query={}", utf8_percent_encode(query, NON_ALPHANUMERIC));
    let answer = get(client, &url, headers).await.map_err(Trouble::Place)?;
    let status = answer.status.as_u16();
    let body: Value = match serde_json::from_slice(&answer.body) {
        Ok(body) if matches!(status, 200 | 400 | 422 | 503) => body,
        _ => {
            let why = match status {
                401 | 403 => {
                    format!("{} refuses the request ({status}): `headers` give it a token", shown(&url))
                }
                _ => format!("{} answers {status}, and not as Prometheus does", shown(&url)),
            };
            return Err(Trouble::Place(why));
        }
    };
    // A timeout or an overload is the server's trouble, all else the query's.
    value_of(&body).map_err(if status == 503 { Trouble::Place } else { Trouble::Query })
}

/// The one value of an instant query's answer.
fn value_of(body: &Value) -> Result<Option<f64>, String> {
    if body["status"] != "success" {
        let why = body["error"].as_str().unwrap_or("no reason given");
        return Err(format!("Prometheus refuses the query: {why}"));
    }
    let result = &body["data"]["result"];
    let pair = match body["data"]["resultType"].as_str() {
        Some("scalar") => Some(result),
        Some("vector") => match result.as_array().map(Vec::as_slice) {
            None | Some([]) => None,
            Some([one]) => Some(&one["value"]),
            Some(several) => {
                return Err(format!("the query finds {} series; aggregate them to one", several.len()));
            }
        },
        other => {
            return Err(format!("the query answers a {}; one number is needed", other.unwrap_or("riddle")));
        }
    };
    let Some(text) = pair.and_then(|p| p[1].as_str()) else { return Ok(None) };
    let value: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    // NaN is what a rate over nothing divides to.
    Ok(Some(value).filter(|v| v.is_finite()))
}

pub async fn web(
    client: &Client,
    url: &str,
    written: &BTreeMap<String, String>,
    path: Option<&str>,
    target: &Target,
    variables: &Variables<'_>,
) -> Result<Sighting, String> {
    let url = fill(url, target, target.candidate);
    let answer = get(client, &url, headers(written, variables)?).await?;
    let said = format!("{} answered {}", shown(&url), answer.status.as_u16());
    let Some(path) = path else {
        let failed = if answer.status.is_success() { 0.0 } else { 1.0 };
        return Ok(Sighting {
            candidate: Reading { value: Some(failed), samples: 1 },
            note: Some(said),
            ..Sighting::default()
        });
    };
    if !answer.status.is_success() {
        return Err(said);
    }
    let body: Value = serde_json::from_slice(&answer.body).map_err(|_| format!("{said}, but not JSON"))?;
    let found = json::at(&body, path)?;
    let text = found.filter(|v| !v.is_null()).map(|v| match v {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    let number = text.as_ref().and_then(|t| t.parse::<f64>().ok());
    Ok(Sighting {
        candidate: Reading { value: number, samples: 1 },
        note: text.is_none().then(|| format!("{path} is not in the answer")),
        text,
        ..Sighting::default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wiremock::matchers::{header, method, path, query_param};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    fn target() -> Target {
        Target {
            service: "orders".into(),
            namespace: "shop".into(),
            candidate: Slot::Green,
            live: Slot::Blue,
            revision: 2,
            live_revision: 1,
            experiment: false,
        }
    }

    fn client() -> Client {
        patient(5)
    }

    fn patient(seconds: u64) -> Client {
        let env = crate::settings::Env::default();
        Client::new(&env, std::time::Duration::from_secs(seconds)).unwrap()
    }

    #[test]
    fn answers_of_prometheus() {
        let vector =
            |result: Value| json!({"status": "success", "data": {"resultType": "vector", "result": result}});
        assert_eq!(value_of(&vector(json!([{"metric": {}, "value": [1.5, "0.25"]}]))), Ok(Some(0.25)));
        assert_eq!(value_of(&vector(json!([]))), Ok(None), "no series is no data, not zero");
        assert_eq!(value_of(&vector(json!([{"value": [1, "NaN"]}]))), Ok(None));
        assert!(value_of(&vector(json!([{"value": [1, "1"]}, {"value": [1, "2"]}]))).is_err());
        let scalar = json!({"status": "success", "data": {"resultType": "scalar", "result": [1, "7"]}});
        assert_eq!(value_of(&scalar), Ok(Some(7.0)));
        assert!(
            value_of(&json!({"status": "error", "error": "parse error"}))
                .unwrap_err()
                .contains("parse error")
        );
    }

    #[tokio::test]
    async fn a_query_is_filled_for_either_slot() {
        let server = MockServer::start().await;
        let answer = |value: &str| {
            ResponseTemplate::new(200).set_body_json(json!({"status": "success",
                "data": {"resultType": "vector", "result": [{"value": [1, value]}]}}))
        };
        for (query, value) in [("x{a='green',b='2'}", "3"), ("x{a='blue',b='1'}", "4")] {
            Mock::given(path("/api/v1/query"))
                .and(query_param("query", query))
                .respond_with(answer(value))
                .mount(&server)
                .await;
        }
        let metric = metric(&format!(
            "prometheus: \"x{{a='$slot',b='$revision'}}\", address: '{}', max: 1.2x",
            server.uri()
        ));
        let seen = prometheus(&client(), &metric, &target(), &|_| None).await.unwrap();
        assert_eq!((seen.candidate.value, seen.live.unwrap().value), (Some(3.0), Some(4.0)));
    }

    fn metric(text: &str) -> Metric {
        let text = format!("service: a\nrollout: {{analysis: {{metrics: [{{name: paid, {text}}}]}}}}\n");
        let file = std::path::Path::new("msctl.yaml");
        let service = crate::service::parse_yaml(&text, file).unwrap();
        crate::service::validate(&service, file).unwrap();
        crate::rollout::analysis::Judging::resolve(&service).unwrap().metrics.remove(0)
    }

    #[tokio::test]
    async fn a_token_comes_from_the_environment_and_is_told_to_nobody() {
        let server = MockServer::start().await;
        let answer = json!({"status": "success", "data": {"resultType": "scalar", "result": [1, "7"]}});
        Mock::given(path("/api/v1/query"))
            .and(header("authorization", "Bearer hidden"))
            .respond_with(ResponseTemplate::new(200).set_body_json(answer))
            .mount(&server)
            .await;
        Mock::given(path("/api/v1/query"))
            .respond_with(ResponseTemplate::new(401).set_body_string("who are you"))
            .mount(&server)
            .await;
        let with = "headers: {Authorization: 'Bearer ${TOKEN}'}";
        let metric = metric(&format!("prometheus: up, address: '{}', max: 9, {with}", server.uri()));
        assert!(!serde_json::to_string(&metric).unwrap().contains("hidden"), "the plan is stored");
        let ask = async |token: Option<&'static str>| {
            prometheus(&client(), &metric, &target(), &|_| token.map(str::to_owned)).await
        };
        assert_eq!(ask(Some("hidden")).await.unwrap().candidate.value, Some(7.0));
        let refused = ask(Some("also hidden")).await.unwrap_err();
        assert!(refused.contains("401") && !refused.contains("hidden"), "{refused}");
        assert!(ask(None).await.unwrap_err().contains("variable TOKEN"));
        assert!(!ask(Some("two\nlines hidden")).await.unwrap_err().contains("hidden"));
    }

    #[tokio::test]
    async fn a_wrong_query_is_told_with_its_place_and_a_server_that_is_not_there_with_its_address() {
        let server = MockServer::start().await;
        let refusal =
            json!({"status": "error", "errorType": "bad_data", "error": "1:5: parse error: unexpected"});
        Mock::given(path("/api/v1/query"))
            .respond_with(ResponseTemplate::new(400).set_body_json(refusal))
            .mount(&server)
            .await;
        let at = |address: &str| metric(&format!("prometheus: 'sum(', address: '{address}', max: 1"));
        let told = prometheus(&client(), &at(&server.uri()), &target(), &|_| None).await.unwrap_err();
        assert!(
            told.contains("1:5: parse error") && told.contains("rollout.analysis.metrics[0].prometheus"),
            "{told}"
        );
        let nowhere = "http://127.0.0.1:9";
        let told = prometheus(&client(), &at(nowhere), &target(), &|_| None).await.unwrap_err();
        assert!(told.contains("127.0.0.1:9") && told.contains("does not answer"), "{told}");
    }

    #[tokio::test]
    async fn a_gate_answers_json_or_by_its_status() {
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .and(path("/ok"))
            .and(header("x-key", "hidden"))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({"ok": true, "n": 3})))
            .mount(&server)
            .await;
        let (url, key) =
            (format!("{}/ok?token=hidden", server.uri()), [("x-key".into(), "hidden".into())].into());
        let seen = web(&client(), &url, &key, Some("$.ok"), &target(), &|_| None).await.unwrap();
        assert_eq!(seen.text.as_deref(), Some("true"));
        let seen = web(&client(), &url, &key, Some("$.n"), &target(), &|_| None).await.unwrap();
        assert_eq!(seen.candidate.value, Some(3.0));
        let elsewhere = format!("{}/no?token=hidden", server.uri());
        let seen = web(&client(), &elsewhere, &key, None, &target(), &|_| None).await.unwrap();
        assert_eq!(seen.candidate.value, Some(1.0));
        let error = web(&client(), &elsewhere, &key, Some("$.ok"), &target(), &|_| None).await.unwrap_err();
        assert!(error.contains("404") && !error.contains("hidden"), "{error}");
        let late = ResponseTemplate::new(200).set_delay(std::time::Duration::from_secs(20));
        Mock::given(path("/late")).respond_with(late).mount(&server).await;
        let late = format!("{}/late", server.uri());
        let error = web(&patient(1), &late, &key, None, &target(), &|_| None).await.unwrap_err();
        assert!(error.ends_with("does not answer: no answer in 1 s"), "{error}");
    }
}
