//! Why pods do not become ready: facts as the API gives them (JSON) in, problems out. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::rollout::Problem;

/// What is known of one slot. Only pods of the present template belong here.
#[derive(Debug, Default)]
pub struct Facts<'a> {
    pub pods: Vec<&'a Value>,
    /// Events about those pods and their ReplicaSet.
    pub events: Vec<&'a Value>,
    pub replica_sets: Vec<&'a Value>,
    pub deployment: Option<&'a Value>,
    /// Last lines of a pod's container, by pod name; fetched for what [`logs_wanted`] names.
    pub logs: BTreeMap<String, Vec<String>>,
}

/// A container whose last lines would tell the cause.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogWanted {
    pub pod: String,
    pub container: String,
    /// Of the run before the present one.
    pub previous: bool,
}

/// Lines of a log that are shown.
const LINES: usize = 20;

/// Which logs to fetch before [`diagnose`] can name the cause; empty while nothing has crashed, and where the pod's
/// status already holds the log's end.
pub fn logs_wanted(facts: &Facts<'_>) -> Vec<LogWanted> {
    let mut wanted = Vec::new();
    for pod in &facts.pods {
        for container in containers(pod) {
            let Some(end) = ended(container) else { continue };
            if container["ready"] == true || !text(&end["message"]).is_empty() || reason(end) == "StartError"
            {
                continue;
            }
            wanted.push(LogWanted {
                pod: name(pod).into(),
                container: text(&container["name"]).into(),
                previous: container["state"].get("terminated").is_none(),
            });
        }
    }
    wanted
}

/// The problems of one slot, the gravest first; the same trouble of several pods is one problem.
pub fn diagnose(facts: &Facts<'_>) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    problems.extend(facts.deployment.and_then(|d| refused(d, facts.pods.is_empty())));
    for pod in &facts.pods {
        problems.extend(of_pod(facts, pod));
    }
    let mut seen: Vec<(String, String)> = Vec::new();
    problems.retain(|p| {
        let key = (p.reason.clone(), p.message.replace(&p.pod, ""));
        let new = !seen.contains(&key);
        seen.push(key);
        new
    });
    problems.sort_by_key(|p| (!p.terminal, GRAVITY.iter().position(|r| *r == p.reason)));
    problems
}

const GRAVITY: [&str; 10] = [
    "image-pull",
    "config-missing",
    "oom-killed",
    "crash",
    "start-failed",
    "pod-security",
    "admission",
    "quota",
    "unschedulable",
    "probe-failing",
];

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn name(object: &Value) -> &str {
    text(&object["metadata"]["name"])
}

fn reason(state: &Value) -> &str {
    text(&state["reason"])
}

/// Statuses of the pod's containers, those that start before the service first.
fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let of = |key: &str| pod["status"][key].as_array().into_iter().flatten();
    of("initContainerStatuses").chain(of("containerStatuses"))
}

/// How the container last ended, if it ever did.
fn ended(container: &Value) -> Option<&Value> {
    container["state"].get("terminated").or_else(|| container["lastState"].get("terminated"))
}

fn of_pod(facts: &Facts<'_>, pod: &Value) -> Vec<Problem> {
    let problem = |reason: &str, message: String, terminal: bool| Problem {
        reason: reason.into(),
        pod: name(pod).into(),
        message,
        terminal,
        log: Vec::new(),
    };
    if let Some(condition) = unscheduled(pod) {
        // A cluster autoscaler may still make room.
        return vec![problem("unschedulable", text(&condition["message"]).into(), false)];
    }
    if pod["status"]["phase"] == "Failed" && containers(pod).next().is_none() {
        let status = &pod["status"];
        return vec![problem(
            "pod-failed",
            format!("{}: {}", reason(status), text(&status["message"])),
            false,
        )];
    }
    let found: Vec<Problem> = containers(pod).filter_map(|c| of_container(facts, pod, c)).collect();
    if found.is_empty() && pod["status"]["phase"] == "Pending" {
        return setup(facts, pod)
            .map(|(reason, message)| problem(reason, message, false))
            .into_iter()
            .collect();
    }
    found
}

fn unscheduled(pod: &Value) -> Option<&Value> {
    let conditions = pod["status"]["conditions"].as_array()?;
    conditions
        .iter()
        .find(|c| c["type"] == "PodScheduled" && c["status"] == "False" && c["reason"] == "Unschedulable")
}

fn of_container(facts: &Facts<'_>, pod: &Value, container: &Value) -> Option<Problem> {
    let problem = |(reason, message, terminal): (&str, String, bool)| Problem {
        reason: reason.into(),
        pod: name(pod).into(),
        message,
        terminal,
        log: Vec::new(),
    };
    if let Some(waiting) = container["state"].get("waiting")
        && let Some(found) = waits(facts, pod, container, waiting)
    {
        return Some(problem(found));
    }
    if container["ready"] == true {
        return None;
    }
    if let Some(end) = ended(container).filter(|e| e["exitCode"] != 0 || is_service(pod, container)) {
        let mut found = problem(exited(facts, pod, container, end));
        if found.reason != "start-failed" {
            let fetched = facts.logs.get(name(pod)).filter(|l| !l.is_empty()).cloned();
            let lines = fetched.unwrap_or_else(|| text(&end["message"]).lines().map(str::to_owned).collect());
            found.log = lines[lines.len().saturating_sub(LINES)..].to_vec();
        }
        return Some(found);
    }
    let event = unhealthy(facts, pod)?;
    container["state"].get("running")?;
    Some(problem(("probe-failing", probe(event), false)))
}

/// A container of the service itself, which is not meant to end; one that prepares the pod is.
fn is_service(pod: &Value, container: &Value) -> bool {
    pod["status"]["containerStatuses"].as_array().is_some_and(|all| all.contains(container))
}

type Found = (&'static str, String, bool);

fn waits(facts: &Facts<'_>, pod: &Value, container: &Value, waiting: &Value) -> Option<Found> {
    let message = text(&waiting["message"]).to_owned();
    match reason(waiting) {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => Some(image(facts, pod, container, reason(waiting), &message)),
        "CreateContainerConfigError" => {
            let missing = message.contains("not found") || message.contains("couldn't find key");
            let reason = if missing { "config-missing" } else { "start-failed" };
            Some((reason, message.clone(), missing || message.contains("runAsNonRoot")))
        }
        "CreateContainerError" | "RunContainerError" | "StartError" | "PostStartHookError" => {
            let hopeless = hopeless(&message);
            Some(("start-failed", plain(&message), hopeless))
        }
        _ => None,
    }
}

/// Errors of a start that no second attempt mends.
fn hopeless(message: &str) -> bool {
    ["no such file", "not found", "permission denied", "exec format error", "is a directory"]
        .iter()
        .any(|text| message.contains(text))
}

fn image(facts: &Facts<'_>, pod: &Value, container: &Value, reason: &str, message: &str) -> Found {
    let image = text(&container["image"]);
    // Older kubelets say only "Back-off pulling image" while they wait; the event still has the cause.
    let event = || {
        let failed = |e: &&&Value| e["reason"] == "Failed" && text(&e["message"]).contains("pull");
        latest(events_of(facts, pod).filter(|e| failed(e)))
    };
    let told = if message.starts_with("Back-off") && !message.contains("ErrImagePull:") {
        event().map_or(message, |e| text(&e["message"]))
    } else {
        message
    };
    let told = unwrapped(told);
    // What the registry refuses stays refused; a registry that does not answer may come back.
    let lasting =
        ["not found", "unknown", "denied", "unauthorized", "authorization", "forbidden", "no basic auth"]
            .iter()
            .any(|word| told.to_lowercase().contains(word));
    let terminal = lasting || matches!(reason, "InvalidImageName" | "ErrImageNeverPull");
    let told = if told.contains(image) { told } else { format!("{image}: {told}") };
    ("image-pull", told, terminal)
}

/// The last sentence of an error that every layer wrapped once more.
fn plain(message: &str) -> String {
    let mut text = message;
    while let Some((_, rest)) = text.split_once("desc = ") {
        text = rest;
    }
    text.trim().to_owned()
}

/// What the registry said, without the puller's repetitions of the name.
fn unwrapped(message: &str) -> String {
    let mut text = plain(message);
    for wrap in ["failed to pull and unpack image \"", "failed to resolve reference \""] {
        let inner = text.split_once(wrap).and_then(|(_, rest)| rest.split_once("\": ")).map(|(_, rest)| rest);
        if let Some(inner) = inner {
            text = inner.to_owned();
        }
    }
    text
}

fn exited(facts: &Facts<'_>, pod: &Value, container: &Value, end: &Value) -> Found {
    let restarts = container["restartCount"].as_u64().unwrap_or(0);
    let down = container["state"].get("running").is_none();
    let exits = restarts + u64::from(down);
    // One restart may heal; two ends do not.
    let terminal = exits >= 2;
    let code = end["exitCode"].as_i64().unwrap_or(0);
    if reason(end) == "OOMKilled" {
        let limit = text(&limits(pod, container)["memory"]);
        let limit = if limit.is_empty() { String::new() } else { format!("; its limit is {limit}") };
        return ("oom-killed", format!("killed for want of memory{limit}"), terminal);
    }
    if reason(end) == "StartError" || reason(end) == "ContainerCannotRun" {
        let message = plain(text(&end["message"]));
        let hopeless = hopeless(&message);
        return ("start-failed", message, hopeless || terminal);
    }
    // The kubelet kills what fails its liveness or startup probe: the probe is the cause, not the signal.
    if matches!(code, 137 | 143)
        && let Some(event) = unhealthy(facts, pod).filter(|e| !text(&e["message"]).starts_with("Readiness"))
    {
        return ("probe-failing", format!("{}; so the container was restarted", probe(event)), terminal);
    }
    let times = if exits > 1 { format!(", {exits} times") } else { String::new() };
    ("crash", format!("exited with {}{times}", describe(code)), terminal)
}

fn limits<'a>(pod: &'a Value, container: &Value) -> &'a Value {
    let all = pod["spec"]["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().find(|c| c["name"] == container["name"]).map_or(&Value::Null, |c| &c["resources"]["limits"])
}

fn describe(code: i64) -> String {
    let signal = match code - 128 {
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        _ => "",
    };
    if signal.is_empty() { format!("code {code}") } else { format!("code {code} ({signal})") }
}

fn events_of<'a>(facts: &'a Facts<'_>, pod: &'a Value) -> impl Iterator<Item = &'a &'a Value> {
    facts.events.iter().filter(move |e| e["involvedObject"]["name"] == name(pod))
}

/// RFC 3339 in UTC sorts as text.
fn latest<'a>(events: impl Iterator<Item = &'a &'a Value>) -> Option<&'a Value> {
    let time = |e: &Value| {
        let times =
            [&e["series"]["lastObservedTime"], &e["lastTimestamp"], &e["eventTime"], &e["firstTimestamp"]];
        times.iter().map(|t| text(t)).find(|t| !t.is_empty()).unwrap_or_default().to_owned()
    };
    events.max_by_key(|e| time(e)).copied()
}

fn unhealthy<'a>(facts: &'a Facts<'_>, pod: &'a Value) -> Option<&'a Value> {
    latest(events_of(facts, pod).filter(|e| e["reason"] == "Unhealthy"))
}

/// `readiness probe: HTTP probe failed with statuscode: 503`.
fn probe(event: &Value) -> String {
    let message = text(&event["message"]).trim();
    match message.split_once(" probe failed: ") {
        Some((kind, answer)) => format!("{} probe: {answer}", kind.to_lowercase()),
        None => message.to_owned(),
    }
}

/// What keeps a scheduled pod from starting its containers: volumes, network.
fn setup(facts: &Facts<'_>, pod: &Value) -> Option<(&'static str, String)> {
    let about = ["FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"];
    let event = latest(events_of(facts, pod).filter(|e| about.contains(&reason(e))))?;
    let message = plain(text(&event["message"]));
    let missing =
        message.contains("not found") && (message.contains("secret") || message.contains("configmap"));
    Some((if missing { "config-missing" } else { "start-failed" }, message))
}

/// Pods that were not even made.
fn refused(deployment: &Value, none: bool) -> Option<Problem> {
    let conditions = deployment["status"]["conditions"].as_array()?;
    let failure = conditions.iter().find(|c| c["type"] == "ReplicaFailure" && c["status"] == "True")?;
    let message = text(&failure["message"]).to_owned();
    let (reason, terminal) = match &message {
        m if m.contains("exceeded quota") => ("quota", false),
        m if m.contains("violates PodSecurity") => ("pod-security", true),
        m if m.contains("admission webhook") => ("admission", m.contains("denied the request")),
        // The account may be younger than the controller's cache.
        m if m.contains("service account") => ("service-account", false),
        _ => (
            "pods-refused",
            none && text(&failure["reason"]) == "FailedCreate" && message.contains("Invalid"),
        ),
    };
    Some(Problem { reason: reason.into(), pod: name(deployment).into(), message, terminal, log: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(status: Value) -> Value {
        json!({
            "metadata": {"name": "orders-blue-1"},
            "spec": {"containers": [{"name": "app", "resources": {"limits": {"memory": "128Mi"}}}]},
            "status": status,
        })
    }

    fn container(state: Value, last: Value, restarts: u32) -> Value {
        pod(json!({"phase": "Running", "containerStatuses": [{
            "name": "app", "image": "reg/orders@sha256:1", "ready": false, "restartCount": restarts,
            "state": state, "lastState": last,
        }]}))
    }

    fn unhealthy_event(message: &str, at: &str) -> Value {
        json!({"reason": "Unhealthy", "message": message, "lastTimestamp": at,
            "involvedObject": {"name": "orders-blue-1"}})
    }

    fn judged(pod: &Value, events: &[Value]) -> Vec<Problem> {
        diagnose(&Facts { pods: vec![pod], events: events.iter().collect(), ..Facts::default() })
    }

    #[test]
    fn causes() {
        let died =
            json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "boot\npanic: no PORT"}});
        let waiting =
            |reason: &str, message: &str| json!({"waiting": {"reason": reason, "message": message}});
        let backoff = waiting("CrashLoopBackOff", "back-off 10s restarting failed container");
        let oom = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
        let killed = json!({"terminated": {"exitCode": 137, "reason": "Error"}});
        let start = json!({"terminated": {"exitCode": 128, "reason": "StartError",
            "message": "failed to create containerd task: exec: \"/nope\": stat /nope: no such file or directory"}});
        let none = json!({});
        let missing = "rpc error: code = NotFound desc = failed to pull and unpack image \"reg/orders@sha256:1\": not found";
        let cases = [
            (container(died.clone(), none.clone(), 0), "crash", "code 1", false),
            (container(json!({"running": {}}), died.clone(), 1), "crash", "code 1", false),
            (container(died.clone(), died.clone(), 1), "crash", "code 1, 2 times", true),
            (container(backoff.clone(), died, 1), "crash", "code 1, 2 times", true),
            (container(backoff.clone(), oom, 1), "oom-killed", "its limit is 128Mi", true),
            (container(backoff.clone(), killed, 3), "crash", "code 137 (SIGKILL), 4 times", true),
            (container(backoff, start, 1), "start-failed", "/nope", true),
            (
                container(waiting("ErrImagePull", missing), none.clone(), 0),
                "image-pull",
                "reg/orders@sha256:1: not found",
                true,
            ),
            (
                container(waiting("ErrImagePull", "dial tcp: i/o timeout"), none.clone(), 0),
                "image-pull",
                "reg/orders@sha256:1: dial tcp: i/o timeout",
                false,
            ),
            (
                container(waiting("CreateContainerConfigError", "secret \"db\" not found"), none.clone(), 0),
                "config-missing",
                "secret \"db\" not found",
                true,
            ),
            (
                container(
                    waiting(
                        "CreateContainerConfigError",
                        "container has runAsNonRoot and image will run as root",
                    ),
                    none.clone(),
                    0,
                ),
                "start-failed",
                "runAsNonRoot",
                true,
            ),
            (
                pod(json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
                "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient cpu."}]})),
                "unschedulable",
                "Insufficient cpu",
                false,
            ),
        ];
        for (pod, reason, message, terminal) in &cases {
            let problems = judged(pod, &[]);
            let [problem] = problems.as_slice() else { panic!("{problems:?} of {pod}") };
            assert_eq!((problem.reason.as_str(), problem.terminal), (*reason, *terminal), "{problem:?}");
            assert!(problem.message.contains(message), "{problem:?}");
            assert_eq!(problem.pod, "orders-blue-1");
        }
        assert_eq!(judged(&cases[2].0, &[])[0].log, ["boot", "panic: no PORT"]);
    }

    #[test]
    fn probes_say_their_newest_answer_and_stand_before_the_signal() {
        let events = [
            unhealthy_event(
                "Readiness probe failed: HTTP probe failed with statuscode: 503",
                "2026-01-01T00:00:02Z",
            ),
            unhealthy_event("Readiness probe failed: connection refused", "2026-01-01T00:00:01Z"),
        ];
        let running = container(json!({"running": {}}), json!({}), 0);
        let problem = &judged(&running, &events)[0];
        assert_eq!((problem.reason.as_str(), problem.terminal), ("probe-failing", false));
        assert_eq!(problem.message, "readiness probe: HTTP probe failed with statuscode: 503");
        let killed = json!({"terminated": {"exitCode": 143, "reason": "Error"}});
        let restarted = container(json!({"running": {}}), killed, 2);
        let live = [unhealthy_event(
            "Liveness probe failed: HTTP probe failed with statuscode: 500",
            "2026-01-01T00:00:03Z",
        )];
        let problem = &judged(&restarted, &live)[0];
        assert_eq!((problem.reason.as_str(), problem.terminal), ("probe-failing", true));
        assert!(judged(&running, &[]).is_empty(), "not ready yet is no problem");
    }

    #[test]
    fn ready_pods_have_no_problem_and_twins_count_once() {
        let died = json!({"terminated": {"exitCode": 1, "reason": "Error"}});
        let mut healed = container(json!({"running": {}}), died.clone(), 5);
        healed["status"]["containerStatuses"][0]["ready"] = true.into();
        assert!(judged(&healed, &[]).is_empty());
        let one = container(died.clone(), json!({}), 1);
        let mut two = one.clone();
        two["metadata"]["name"] = "orders-blue-2".into();
        let facts = Facts { pods: vec![&one, &two], ..Facts::default() };
        assert_eq!(diagnose(&facts).len(), 1);
        assert_eq!(logs_wanted(&facts).len(), 2, "the status holds no log");
        assert!(!logs_wanted(&facts)[0].previous);
    }

    #[test]
    fn pods_that_were_not_made() {
        for (message, reason, terminal) in [
            ("pods \"x\" is forbidden: exceeded quota: small, requested: pods=1", "quota", false),
            (
                "pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true",
                "pod-security",
                true,
            ),
            ("admission webhook \"p.example.com\" denied the request: no", "admission", true),
        ] {
            let deployment = json!({"metadata": {"name": "orders-blue"}, "status": {"conditions": [
                {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}]}});
            let problems = diagnose(&Facts { deployment: Some(&deployment), ..Facts::default() });
            assert_eq!((problems[0].reason.as_str(), problems[0].terminal), (reason, terminal));
        }
    }
}
