//! A migration's Job: the revision's own container, with another command, that no Service leads to.

use serde_json::{Value, json};

use super::names;
use crate::platform::{MigrationRun, Template};

/// Seconds that an ended Job, and with it its log, is kept.
const KEPT: u64 = 24 * 3600;

/// The Job of `run` on `template`, suspended: whoever holds the epoch releases it. `None`: the template has no container.
pub fn migration(template: &Template, run: &MigrationRun) -> Option<Value> {
    let service = template.body["service"].as_str()?;
    let mut spec = template.body["podTemplate"]["spec"].clone();
    let all = spec["containers"].as_array()?;
    let ours = all.iter().find(|c| c["name"] == names::CONTAINER).or(all.first())?;
    let mut container = ours.clone();
    let members = container.as_object_mut()?;
    for of_a_server in ["args", "ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle"] {
        members.remove(of_a_server);
    }
    container["command"] = json!(run.command);
    container["terminationMessagePolicy"] = "FallbackToLogsOnError".into();
    let told = [
        ("MSCTL_SERVICE", service.to_owned()),
        ("MSCTL_REVISION", run.revision.to_string()),
        ("MSCTL_MIGRATION", run.phase.name().to_owned()),
    ];
    let mut variables = container["env"].as_array().cloned().unwrap_or_default();
    variables.extend(told.iter().map(|(name, value)| json!({"name": name, "value": value})));
    container["env"] = variables.into();
    let pod = spec.as_object_mut()?;
    // Other containers would never end, and hold the Job open.
    for of_a_server in ["initContainers", "topologySpreadConstraints", "affinity", "readinessGates"] {
        pod.remove(of_a_server);
    }
    spec["containers"] = json!([container]);
    spec["restartPolicy"] = "Never".into();
    Some(json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": run.name(service),
            "labels": {names::NAME: service, names::MANAGED_BY: "msctl", names::MIGRATION: run.phase.name()},
        },
        "spec": {
            "suspend": true,
            "backoffLimit": 0,
            "activeDeadlineSeconds": (run.start_deadline + run.timeout).as_secs().max(1),
            "ttlSecondsAfterFinished": KEPT,
            "template": {
                // Not the service's name: its Service would send users here.
                "metadata": {"labels": {names::MIGRATION: run.phase.name(), names::MIGRATION_OF: service}},
                "spec": spec,
            },
        },
    }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rollout::MigrationPhase;

    #[test]
    fn it_runs_the_revisions_container_and_no_service_leads_to_it() {
        let text = "service: orders\nimage: a@sha256:1\nconfig: {LEVEL: info}\nsecrets: {TOKEN: {fromSecret: own/token}}\n";
        let service = crate::service::parse_yaml(text, std::path::Path::new("msctl.yaml")).unwrap();
        let secrets = Default::default();
        let input =
            super::super::Input { service: &service, image: "a@sha256:1", secrets: &secrets, key: b"key" };
        let template = super::super::template(&input);
        let run = MigrationRun {
            revision: 3,
            phase: MigrationPhase::Expand,
            command: vec!["./migrate".into(), "expand".into()],
            attempt: 1,
            start_deadline: Duration::from_secs(60),
            timeout: Duration::from_secs(600),
        };
        let job = migration(&template, &run).unwrap();
        assert_eq!(
            (&job["metadata"]["name"], &job["spec"]["suspend"]),
            (&"orders-r3-expand".into(), &true.into())
        );
        let pod = &job["spec"]["template"];
        assert!(pod["metadata"]["labels"].get(names::NAME).is_none(), "the public Service would select it");
        let (ours, theirs) =
            (&pod["spec"]["containers"][0], &template.body["podTemplate"]["spec"]["containers"][0]);
        assert_eq!(ours["command"], json!(["./migrate", "expand"]));
        for same in ["image", "envFrom", "securityContext", "resources", "volumeMounts"] {
            assert_eq!(ours[same], theirs[same], "{same}");
        }
        assert_eq!(ours["env"][1]["valueFrom"], theirs["env"][1]["valueFrom"], "its secrets");
        for gone in ["readinessProbe", "livenessProbe", "lifecycle", "ports"] {
            assert!(ours.get(gone).is_none(), "{gone}");
        }
        assert_eq!(pod["spec"]["serviceAccountName"], "orders");
        assert_eq!(pod["spec"]["restartPolicy"], "Never");
        let late = MigrationRun { revision: 1_000_000, ..run };
        assert_eq!(late.name(&"a".repeat(50)), format!("{}-r1000000-e", "a".repeat(50)));
    }
}
