//! Single steps of an install: what differs, how it is shown, how it is carried out.

use serde_json::{Map, Value, json};
use similar::TextDiff;

use super::live::Live;
use super::{Site, api, compare, write};
use crate::error::{self, Failure};
use crate::manifest::{self, Kind, inert, kind_of, name_of, names};
use crate::platform::{Action, Change, Error, Release};

/// The wave of the slots' own objects: after accounts and configuration, Services and policies, routes.
pub const SLOTS: usize = 3;
const REMOVAL: usize = 4;

/// One object to make, change or remove.
pub struct Planned {
    pub kind: Kind,
    wave: usize,
    /// Without a stamp; None: it goes.
    wanted: Option<Value>,
    live: Option<Value>,
}

impl Planned {
    /// None when the object already is as wanted.
    pub fn of(site: &Site, live: &Live, wanted: &Value, wave: usize) -> Option<Planned> {
        let kind = kind_of(wanted)?;
        let found = live.get(kind, name_of(wanted));
        let same = |found: &Value| {
            compare::fulfilled(&inert(&unheld(&write::stamped(site, wanted, 0), Some(found))), found)
        };
        if found.is_some_and(same) {
            return None;
        }
        Some(Planned { kind, wave, wanted: Some(wanted.clone()), live: found.cloned() })
    }

    pub fn action(&self) -> Action {
        match (&self.wanted, &self.live) {
            (None, _) => Action::Delete,
            (Some(_), None) => Action::Create,
            (Some(_), Some(_)) => Action::Update,
        }
    }

    fn label(&self) -> String {
        let object = self.wanted.as_ref().or(self.live.as_ref());
        object.map(write::label).unwrap_or_default()
    }
}

/// Bounds of an autoscaler that a rollout holds are the rollout's; they are applied as they are.
pub fn unheld(wanted: &Value, live: Option<&Value>) -> Value {
    let mut wanted = wanted.clone();
    let held = live.filter(|l| l["metadata"]["annotations"][names::HELD].is_string());
    if let Some(live) = held.filter(|_| kind_of(&wanted) == Some(Kind::HorizontalPodAutoscaler)) {
        for bound in ["minReplicas", "maxReplicas"] {
            wanted["spec"][bound] = live["spec"][bound].clone();
        }
    }
    wanted
}

/// In the order of writing, what may be written side by side together.
pub fn waves(planned: Vec<Planned>) -> Vec<Vec<Planned>> {
    let mut waves: Vec<Vec<Planned>> = (0..=REMOVAL).map(|_| Vec::new()).collect();
    for one in planned {
        waves[one.wave].push(one);
    }
    waves
}

/// Members of the inventory that this release does not have. Configuration named by hash is not among them: older
/// revisions need theirs.
pub fn unwanted(live: &Live, release: &Release, site: &Site, routed: &[(Kind, String)]) -> Vec<Planned> {
    let gone = |kind: Kind, object: &Value| match kind {
        Kind::HorizontalPodAutoscaler => release.service.autoscaling.is_none(),
        _ if Kind::ROUTES.contains(&kind) => {
            !routed.iter().any(|(k, name)| *k == kind && name == name_of(object))
        }
        _ => false,
    };
    live.all()
        .filter(|(kind, object)| gone(*kind, object) && ours(&site.service, object))
        .map(|(kind, object)| Planned { kind, wave: REMOVAL, wanted: None, live: Some(object.clone()) })
        .collect()
}

/// Whether msctl made the object for this service.
pub fn ours(service: &str, object: &Value) -> bool {
    let labels = &object["metadata"]["labels"];
    labels[names::MANAGED_BY] == "msctl" && labels[names::NAME] == service
}

/// Objects to be made whose names others use already are found before the first write.
pub async fn refuse_foreign(site: &Site, planned: &[Planned]) -> Result<(), Error> {
    let new = planned.iter().filter(|p| p.action() == Action::Create).filter_map(|p| p.wanted.as_ref());
    let looks = new.map(|wanted| async move {
        let kind = kind_of(wanted).ok_or_else(|| anyhow::anyhow!("an object without a kind"))?;
        match api::find(site, kind, name_of(wanted)).await? {
            Some(found) if !ours(&site.service, &found) => Err(foreign(Some(&found), wanted)),
            _ => Ok(()),
        }
    });
    futures::future::try_join_all(looks).await.map(|_| ())
}

/// The error for an object of ours that someone else made.
pub fn foreign(found: Option<&Value>, wanted: &Value) -> Error {
    let managers = found.and_then(|f| f["metadata"]["managedFields"].as_array());
    let maker = managers.and_then(|m| m.first()).and_then(|m| m["manager"].as_str());
    let maker = maker.map(|m| format!(" (by {m})")).unwrap_or_default();
    let object = write::label(wanted);
    let text = format!("{object} is there already, and msctl did not make it{maker}");
    let hint = format!("rename the service, or delete {object} if nothing needs it, then deploy again");
    Error::Other(Failure::new(error::Kind::Held, "foreign", text).object(object).hint(hint).into())
}

/// The change as people see it, by a dry run on the server.
pub async fn shown(site: &Site, planned: Planned) -> Result<Change, Error> {
    let (object, action) = (planned.label(), planned.action());
    let before = planned.live.as_ref();
    let after = match &planned.wanted {
        None => None,
        Some(wanted) => {
            let stamped = unheld(&write::stamped(site, wanted, 0), before);
            let made = write::dry_run(site, &stamped, before).await?;
            // A new object is shown as it was written, without the server's defaults.
            Some(if before.is_some() { made } else { stamped })
        }
    };
    Ok(Change { diff: unified(before, after.as_ref(), &object), object, action })
}

/// Carries one step out; the error comes with the object's name.
pub async fn carried_out(site: &Site, planned: Planned, epoch: u64) -> Result<Change, (String, Error)> {
    let (object, action) = (planned.label(), planned.action());
    let before = planned.live.as_ref();
    let done = match &planned.wanted {
        None => match before {
            Some(live) => write::delete(site, live).await.map(|()| None),
            None => Ok(None),
        },
        Some(wanted) => {
            write::apply(site, &unheld(&write::stamped(site, wanted, epoch), before), before).await.map(Some)
        }
    };
    let after = done.map_err(|e| (object.clone(), e))?;
    Ok(Change { diff: unified(before, after.as_ref(), &object), object, action })
}

fn unified(before: Option<&Value>, after: Option<&Value>, object: &str) -> String {
    let text = |value: Option<&Value>| value.map(|v| manifest::to_yaml(&readable(v))).unwrap_or_default();
    let (mut old, mut new) = (text(before), text(after));
    if let (Some(a), Some(b)) = (before, after)
        && kind_of(b) == Some(Kind::Secret)
        && a["data"] != b["data"]
    {
        old = old.replace(MASK, &format!("{MASK} # before"));
        new = new.replace(MASK, &format!("{MASK} # after"));
    }
    TextDiff::from_lines(&old, &new)
        .unified_diff()
        .context_radius(3)
        .header(&format!("live {object}"), &format!("wanted {object}"))
        .to_string()
}

const MASK: &str = "\"***\"";

/// Without what the server keeps for itself and what changes with every write; secrets masked.
fn readable(object: &Value) -> Value {
    let mut object = manifest::canonical(object);
    let secret = kind_of(&object) == Some(Kind::Secret);
    let Some(map) = object.as_object_mut() else { return object };
    map.shift_remove("status");
    for key in ["data", "stringData"] {
        if let Some(data) = map.get_mut(key).and_then(Value::as_object_mut).filter(|_| secret) {
            data.values_mut().for_each(|v| *v = json!("***"));
        }
    }
    if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) {
        for key in [
            "managedFields",
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "namespace",
            "selfLink",
        ] {
            metadata.shift_remove(key);
        }
        let noise = |map: &mut Map<String, Value>| {
            map.retain(|k, _| {
                ![names::EPOCH, names::CHECKSUM, names::TEMPLATE, "deployment.kubernetes.io/revision"]
                    .contains(&k.as_str())
            });
        };
        metadata.get_mut("annotations").and_then(Value::as_object_mut).into_iter().for_each(noise);
        metadata.retain(|_, v| v.as_object().is_none_or(|m| !m.is_empty()));
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_noise_is_left_out() {
        let secret = |value: &str, version: &str| {
            json!({"kind": "Secret", "metadata": {"name": "s", "resourceVersion": version,
                "annotations": {"msctl.dev/epoch": version}}, "data": {"TOKEN": value}})
        };
        let diff =
            unified(Some(&secret("aHVudGVyMg==", "1")), Some(&secret("aHVudGVyMw==", "2")), "Secret/s");
        assert!(
            diff.contains("-  TOKEN: \"***\" # before") && diff.contains("+  TOKEN: \"***\" # after"),
            "{diff}"
        );
        assert!(!diff.contains("aHVudGVy") && !diff.contains("epoch"), "{diff}");
        assert_eq!(unified(Some(&secret("a", "1")), Some(&secret("a", "2")), "Secret/s"), "");
    }
}
